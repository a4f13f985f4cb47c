"""The default heads: as large as the rows bear, and rising where the meaning demands it."""

import numpy as np
import pytest

from feeds.bundle import RANKER_NAMES
from ranking.bins import SharedBins
from ranking.heads import train_heads
from ranking.value_model import KNOWN_HEADS
from training.config import TrainConfig
from training.default_heads import RISING, leaves_for


@pytest.mark.parametrize(("rows", "leaves"), [(100, 8), (58_000, 12), (160_000, 20), (10_000_000, 31)])
def test_trees_have_as_many_leaves_as_the_rows_bear(rows, leaves):
    assert leaves_for(rows) == leaves


def test_every_head_is_known_to_the_value_model_and_constrains_features_that_exist():
    heads = TrainConfig().heads
    assert {head.name for head in heads} <= set(KNOWN_HEADS)
    assert {name for head in heads for name in head.monotone} <= set(RANKER_NAMES)


def test_a_like_is_never_less_likely_where_likes_were_more_frequent():
    rng = np.random.default_rng(0)
    names = RISING["like"][:3]
    values = rng.random((6_000, 3)).astype(np.float32)
    like = (rng.random(6_000) < 0.03 + 0.05 * values[:, 0]).astype(np.float32)
    bins = SharedBins.fit(values)
    head = next(head for head in TrainConfig(members=1).heads if head.name == "like")
    head = head.model_copy(update={"monotone": dict.fromkeys(names, 1), "early_stopping_rounds": 0, "rounds": 60})
    codes, labels = bins.codes(values), {"like": like}
    ranker = train_heads(codes, labels, codes, labels, names, [head], threads=1).ranker(bins, codes, labels)
    for column in range(3):
        asked = np.tile(rng.random(3), (50, 1)).astype(np.float32)
        asked[:, column] = np.linspace(0, 1, 50)
        assert (np.diff(ranker.predict(asked)["like"]) >= 0).all()
