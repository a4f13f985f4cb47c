"""A ranker that learns on keeps its trees, and new ones correct it where the world has moved."""

import lightgbm as lgb
import numpy as np
import pytest

from ranking.continuation import MIN_OF_BOTH, continued, joined
from ranking.forest import Forest
from ranking.head_config import HeadConfig
from ranking.ranker import Ranker
from tests.ranking.conftest import NAMES, make_world
from tests.ranking.test_forest import booster


@pytest.fixture(scope="module")
def ranker(trained, bins, valid) -> Ranker:
    return trained.ranker(bins, bins.codes(valid.values), valid.labels)


def moved(seed, rows=3_000):
    """The same values, and likes that now fall with taste."""
    world = make_world(rows, seed)
    taste = np.nan_to_num(world.values[:, 0], nan=float(np.nanmin(world.values[:, 0])))
    chance = 1 / (1 + np.exp(2 * taste))
    like = (np.random.default_rng(seed).random(rows) < chance).astype(float)
    return world.values, world.labels | {"like": like}


def on_moved(ranker, **changes):
    (train_values, train_labels), (values, labels) = moved(11), moved(12)
    codes = ranker.bins.codes(train_values), ranker.bins.codes(values)
    config = HeadConfig(**{"name": "like", "rounds": 60, "learning_rate": 0.2, "min_positives": 20} | changes)
    return continued(ranker, codes, (train_labels, labels), [config, HeadConfig(name="share", min_positives=1)], 1)


def test_the_trees_of_two_forests_add_up_head_by_head():
    rng = np.random.default_rng(0)
    first, second, third = (
        booster(rng, rounds=rounds, num_leaves=leaves) for rounds, leaves in ((5, 4), (3, 7), (6, 3))
    )
    texts = [one.model_to_string() for one in (first, second, third)]
    before = Forest.compile({"a": texts[0], "b": texts[1]}, 8)
    codes = rng.integers(0, 256, (300, 8)).astype(np.uint8)
    both = joined(before, Forest.compile({"b": texts[2]}, 8))
    expected = [first.predict(codes), second.predict(codes) + third.predict(codes)]
    np.testing.assert_allclose(both.scores(codes).T, expected, rtol=1e-12)
    assert both.heads == ("a", "b") and both.trees == 14


def test_new_trees_start_from_the_scores_and_follow_a_world_that_moved(ranker):
    values, labels = moved(13)
    before = ranker.predict(values)["like"]
    grown, trained = on_moved(ranker)
    after = grown.predict(values)["like"]
    loss = [-np.mean(np.log(np.where(labels["like"] > 0, p, 1 - p))) for p in (before, after)]
    entropy = -np.mean(np.log(np.where(labels["like"] > 0, (q := labels["like"].mean()), 1 - q)))
    assert loss[0] > entropy > loss[1] + 0.05, "what was learned became worse than a constant, until it learned on"
    kept, new = (f.head_start[1] - f.head_start[0] for f in (ranker.forest, grown.forest))
    assert new - kept == trained.heads["like"].best_iteration
    assert abs(after.mean() - labels["like"].mean()) < 0.03, "calibrated on the newest rows"


def test_the_scores_are_those_of_the_old_trees_and_of_what_lightgbm_grew(ranker):
    (values, labels), (grown, trained) = moved(11), on_moved(ranker, rounds=4, early_stopping_rounds=0)
    codes, place = ranker.bins.codes(values), ranker.heads.index("like")
    start, raw = (r.forest.scores(codes)[:, place] for r in (ranker, grown))
    alone = lgb.Booster(model_str=trained.heads["like"].model)
    np.testing.assert_allclose(raw, start + alone.predict(codes, raw_score=True), rtol=1e-9)
    losses = [np.mean(np.logaddexp(0, z) - labels["like"] * z) for z in (start, raw)]
    assert losses[1] < losses[0]


def test_a_head_with_too_few_labels_keeps_its_trees_and_its_calibration(ranker):
    grown, trained = on_moved(ranker, min_positives=10**6)
    assert set(trained.skipped) == {"like"} and trained.heads["like"].model == ""
    assert grown.forest.trees == ranker.forest.trees
    (values, labels) = moved(11)
    few = np.full(len(values), np.nan)
    few[: MIN_OF_BOTH - 1] = 1
    codes = ranker.bins.codes(values)
    same, _ = continued(ranker, (codes, codes), (labels, labels | {"like": few}), [HeadConfig(name="like")], 1)
    assert same.calibrators["like"] == ranker.calibrators["like"]


def test_a_head_that_the_ranker_lacks_stays_absent(ranker):
    grown, trained = on_moved(ranker)
    assert "share" not in grown.heads and "share" not in trained.heads
    assert grown.feature_names == NAMES
