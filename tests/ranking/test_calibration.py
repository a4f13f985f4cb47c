"""Calibration: predictions that can be read as probabilities and amounts."""

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LinearRegression, LogisticRegression

from core.errors import InputError, SchemaMismatch
from ranking.calibration import (
    Identity,
    Isotonic,
    at_level,
    calibrator_from_arrays,
    fit_calibrator,
    sigmoid,
)
from training.metrics import calibration_error

METHODS = ("platt", "isotonic", "linear", "exponential", "identity")


def overconfident(rows=20_000, seed=0):
    """Scores four times too extreme and a unit too high."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-2, 1, rows)
    return 4 * truth + 1, (rng.random(rows) < sigmoid(truth)).astype(float)


def test_platt_finds_the_line_that_logistic_regression_finds():
    scores, labels = overconfident()
    weights = np.random.default_rng(1).uniform(0.5, 2, labels.size)
    ours = fit_calibrator("platt", scores, labels, weights)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(scores[:, None], labels, weights)
    # Platt's smoothed targets differ from 0 and 1 by one in some thousand.
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=2e-3)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], rel=5e-3)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_lowers_the_error_on_other_days(method):
    scores, labels = overconfident(seed=1)
    calibrator = fit_calibrator(method, *overconfident(seed=2))
    assert calibration_error(labels, sigmoid(scores)) > 0.05
    assert calibration_error(labels, calibrator.apply(scores)) < 0.01


@pytest.mark.parametrize("method", ["platt", "linear", "exponential"])
def test_at_another_level_the_slope_stays_and_the_mean_is_that_of_the_rows(method):
    scores, labels = overconfident(seed=3)
    before = fit_calibrator(method, scores, labels)
    chosen = scores > np.quantile(scores, 0.6)  # what a page shows: a slope fitted to these rows would be flatter
    rarer = np.where(np.random.default_rng(4).random(scores.size) < 0.5, labels, 0.0)
    after = at_level(before, scores[chosen], np.append(rarer[chosen][:-1], np.nan))
    assert after.slope == before.slope and after.intercept < before.intercept
    assert after.apply(scores[chosen]).mean() == pytest.approx(rarer[chosen].mean(), rel=2e-3)


def test_a_level_of_a_single_class_stays_finite_and_what_has_none_stays():
    assert np.isfinite(at_level(fit_calibrator("platt", *overconfident()), [1e9, -1e9], [1, 1]).intercept)
    for fixed in (Identity(), Isotonic(np.array([0.0, 1.0]), np.array([0.2, 0.4]))):
        assert at_level(fixed, [0.0, 1.0], [1, 0]) is fixed
    with pytest.raises(InputError, match="at least one observed label"):
        at_level(Identity(), [0.0], [np.nan])


def test_a_platt_fit_of_separable_labels_stays_finite():
    calibrator = fit_calibrator("platt", np.arange(10.0), np.arange(10) > 4)
    p = calibrator.apply(np.array([-1e6, 0, 4.5, 9, 1e6]))
    assert np.isfinite(p).all() and (np.diff(p) >= 0).all() and p[2] == pytest.approx(0.5, abs=0.01)


def test_a_platt_fit_of_a_single_class_is_near_that_class():
    # Smoothed targets: (n + 1) / (n + 2) with n = 100 positives.
    calibrator = fit_calibrator("platt", np.arange(100.0), np.ones(100))
    assert calibrator.apply(np.array([3.0]))[0] == pytest.approx(101 / 102)


@pytest.mark.parametrize("method", ["platt", "isotonic", "linear", "exponential"])
def test_a_head_that_ranks_backwards_is_flattened_to_its_mean(method):
    calibrator = fit_calibrator(method, [0.0, 1.0, 2.0, 3.0], [1, 1, 0, 0])
    assert calibrator.apply(np.array([-5.0, 0, 1, 9])) == pytest.approx([0.5] * 4)


def test_isotonic_equals_the_reference():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 200, 3000) / 10.0
    labels = (rng.random(3000) < scores / 20).astype(float)
    weights = rng.uniform(0.1, 3, 3000)
    ours = fit_calibrator("isotonic", scores, labels, weights)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, labels, weights)
    points = np.linspace(-2, 22, 500)
    np.testing.assert_allclose(ours.apply(points), theirs.predict(points), atol=1e-9)


def test_linear_equals_least_squares_and_is_never_negative():
    rng = np.random.default_rng(0)
    scores = rng.normal(3, 2, 1000)
    labels = np.abs(0.5 * scores + 1 + rng.normal(size=1000))
    weights = rng.uniform(0.1, 3, 1000)
    ours = fit_calibrator("linear", scores, labels, weights)
    theirs = LinearRegression().fit(scores[:, None], labels, weights)
    np.testing.assert_allclose(ours.apply(scores), np.maximum(theirs.predict(scores[:, None]), 0))
    assert ours.apply(np.array([-1e9]))[0] == 0


def test_exponential_is_linear_in_the_mean_whose_logarithm_is_the_score():
    means = np.array([1.0, 2.0, 5.0, 9.0])
    # The line through (1, 5) and (9, 21) on which all four lie.
    ours = fit_calibrator("exponential", np.log(means), 2 * means + 3)
    assert (ours.slope, ours.intercept) == (pytest.approx(2), pytest.approx(3))
    assert ours.apply(np.log([4.0])) == pytest.approx([11])
    assert np.isfinite(ours.apply(np.array([-1e4, 1e4]))).all()


def test_identity_is_the_link_of_the_head():
    assert Identity().apply(np.array([0.0])) == [0.5]
    assert Identity(probability=False).apply(np.array([-3.0, 3.0])).tolist() == [0, 3]


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_a_label_do_not_count(method):
    scores, labels = overconfident(500)
    hidden = np.concatenate([labels, np.full(100, np.nan)])
    extra = np.concatenate([scores, np.linspace(-9, 9, 100)])
    some, all_ = fit_calibrator(method, scores, labels), fit_calibrator(method, extra, hidden)
    assert np.array_equal(some.apply(scores), all_.apply(scores))


@pytest.mark.parametrize("method", METHODS)
def test_saved_numbers_give_the_same_predictions(method):
    scores, labels = overconfident(500)
    calibrator = fit_calibrator(method, scores, labels)
    again = calibrator_from_arrays(method, calibrator.arrays())
    assert np.array_equal(again.apply(scores), calibrator.apply(scores))


def test_the_sigmoid_does_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        assert sigmoid(np.array([-1e4, 0, 1e4])).tolist() == [0, 0.5, 1]


def test_nothing_to_fit_on_is_an_error():
    with pytest.raises(InputError, match="at least one observed label"):
        fit_calibrator("platt", [1.0], [np.nan])
    with pytest.raises(InputError, match="one length"):
        fit_calibrator("platt", [1.0, 2.0], [1])
    with pytest.raises(SchemaMismatch, match="newer build"):
        calibrator_from_arrays("spline", {})
