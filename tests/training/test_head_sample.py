"""Which rows the heads learn from where there are too many."""

import numpy as np
import pytest

from features.layout import OP
from training.config import TrainConfig
from training.head_sample import HeadSample
from training.split import Split

SPLIT = Split(0, 1_000, 9_000, 10_000, 11_000)
TIMES = np.arange(11_000)
LIKED = 1 << OP["like"]


def chosen(most, rare=0.01, most_valid=10**6, watched=1.0):
    rng = np.random.default_rng(3)
    reactions = np.where(rng.random(len(TIMES)) < rare, LIKED, 1 << OP["watch"])
    seen = rng.random(len(TIMES)) < watched
    sample = HeadSample(SPLIT, TrainConfig(max_head_rows=most, max_valid_rows=most_valid))
    index = sample(TIMES, seen, reactions)
    return index, sample.weights, reactions, seen


def test_where_there_is_room_everything_stays_and_nothing_is_weighed():
    index, weights, _, _ = chosen(8_000)
    assert np.array_equal(index, TIMES) and weights is None


def test_rare_rows_all_stay_and_weights_make_their_share_what_it_was():
    index, weights, reactions, _ = chosen(2_000)
    train = index < 9_000
    assert train.sum() == 2_000 and index[0] >= 1_000 and np.all(np.diff(index) > 0)
    rare = reactions[1_000:9_000] == LIKED
    kept = reactions[index[train]] == LIKED
    assert kept.sum() == rare.sum()
    assert (weights[train] * kept).sum() / weights[train].sum() == pytest.approx(rare.mean(), rel=1e-5)
    assert weights[train].mean() == pytest.approx(1) and set(weights[~train]) == {1.0}


def test_rare_rows_take_half_of_the_room_at_most():
    index, weights, reactions, _ = chosen(2_000, rare=0.5)
    train = index < 9_000
    kept = reactions[index[train]] == LIKED
    assert kept.sum() == 1_000
    share = (reactions[1_000:9_000] == LIKED).mean()
    assert (weights[train] * kept).sum() / weights[train].sum() == pytest.approx(share, rel=1e-5)


def test_only_watched_rows_are_trained_on_and_later_parts_stay_whole_up_to_their_own_limit():
    index, _, _, seen = chosen(2_000, watched=0.5)
    assert seen[index[index < 9_000]].all()
    assert (index >= 9_000).sum() == 2_000
    index, weights, _, _ = chosen(8_000, most_valid=300)
    assert ((index >= 9_000) & (index < 10_000)).sum() == 300
    assert (index >= 10_000).sum() == 1_000 and (index < 9_000).sum() == 8_000
    assert np.ptp(weights) == 0
