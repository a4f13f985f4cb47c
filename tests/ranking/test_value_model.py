"""The value model: named weights, and an explanation of every value."""

import numpy as np
import pytest
from pydantic import ValidationError

from core.errors import InputError
from ranking.value_model import ValueModel, ValueModelConfig

PREDICTIONS = {
    "watch_ratio": np.array([0.5, 1.2]),
    "like": np.array([0.2, 0.0]),
    "negative": np.array([0.0, 0.1]),
    "click": np.array([0.9, 0.9]),
}


def test_a_value_is_the_weighted_sum_of_the_predictions():
    # 1 x 0.5 + 1 x 0.2 - 6 x 0 = 0.7; 1 x 1.2 + 1 x 0 - 6 x 0.1 = 0.6; a click weighs nothing.
    assert ValueModel().value(PREDICTIONS) == pytest.approx([0.7, 0.6])


def test_terms_explain_the_value():
    terms = ValueModel().terms(PREDICTIONS)
    assert set(terms) == {"watch_ratio", "like", "negative"}
    assert terms["negative"] == pytest.approx([0, -0.6])
    assert sum(terms.values()) == pytest.approx(ValueModel().value(PREDICTIONS))


def test_a_head_that_the_bundle_lacks_is_listed_and_adds_nothing():
    assert ValueModel().missing(PREDICTIONS) == ("share", "follow")


def test_an_experiment_changes_some_weights_and_not_the_model_it_came_from():
    model = ValueModel()
    assert model.with_weights({"click": 1}).value(PREDICTIONS) == pytest.approx([1.6, 1.5])
    assert model.value(PREDICTIONS) == pytest.approx([0.7, 0.6])


def test_weights_that_are_all_zero_value_everything_equally():
    model = ValueModel(ValueModelConfig(weights={"like": 0}))
    assert model.value(PREDICTIONS).tolist() == [0, 0] and model.missing(PREDICTIONS) == ()


def test_a_misspelt_head_is_an_error_that_lists_the_known_ones():
    with pytest.raises(InputError, match=r"No head is called lke; the known heads are watch_ratio"):
        ValueModel(ValueModelConfig(weights={"lke": 1}))
    with pytest.raises(InputError, match="No head is called skp"):
        ValueModel().with_weights({"skp": 1})


def test_a_weight_must_be_a_finite_number():
    with pytest.raises(ValidationError):
        ValueModelConfig(weights={"like": float("nan")})
    with pytest.raises(InputError, match="weight of like"):
        ValueModel().with_weights({"like": float("inf")})


def test_no_predictions_have_no_value():
    with pytest.raises(InputError, match="at least one head"):
        ValueModel().value({})
