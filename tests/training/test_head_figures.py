"""The figures of a head, and of parts of a test day."""

import numpy as np
import pytest

from candidate_gen.tower_config import TowerConfig
from ranking.head_config import HeadConfig
from tests.training.fitted_world import CONFIG, VIDEOS, logged_world
from training.evaluate import evaluate
from training.head_figures import head_figures, segment_reports, segments
from training.metrics import auc, calibration_error, grouped_auc, logloss, mae, rmse, xauc
from training.split import day_of

RNG = np.random.default_rng(0)
VIEWER = RNG.integers(30, size=600)
P = RNG.uniform(0.05, 0.95, 600)
STILL = np.clip(P + RNG.normal(0, 0.1, 600), 0.01, 0.99)
LABEL = (RNG.random(600) < P).astype(float)
LENGTH_MS = RNG.choice([6_000, 20_000, 90_000], 600)


def test_a_binary_head_has_its_metrics_beside_the_floor_of_its_calibration():
    found = head_figures(HeadConfig(name="click"), LABEL, P, STILL, VIEWER, LENGTH_MS, seed=1)
    assert found["auc"] == auc(LABEL, P) and found["logloss"] == logloss(LABEL, P)
    assert found["ece"] == calibration_error(LABEL, P)
    assert found["gauc_frozen"] == grouped_auc(LABEL, STILL, VIEWER) != grouped_auc(LABEL, P, VIEWER)
    assert 0 < found["ece_floor"] < found["ece_floor_95"]


def test_amounts_have_errors_and_a_rank_output_the_order_without_the_length():
    seconds = LENGTH_MS / 1000 * P
    mean = head_figures(HeadConfig(name="m", objective="mean"), seconds, P * 20, STILL, VIEWER, LENGTH_MS, 0)
    assert mean == {"xauc": xauc(seconds, P * 20), "mae": mae(seconds, P * 20), "rmse": rmse(seconds, P * 20)}
    rank = head_figures(HeadConfig(name="r", objective="mean", scale="log"), seconds, P, P, VIEWER, LENGTH_MS, 0)
    assert rank.keys() == {"xauc", "debiased_gauc_frozen", "debiased_list_gauc_frozen"}
    # Within a bucket the length is one, so that the order by P is the order of what was watched.
    assert rank["debiased_gauc_frozen"] == 1.0 > rank["debiased_list_gauc_frozen"] > rank["xauc"]


def test_segments_are_of_viewers_by_their_past_and_of_videos_by_their_length():
    viewer = np.array([0, 0, 1, 2, 2, 2])
    earlier = np.array([3, 3, 50, 900, 900, 900])
    parts = segments(viewer, earlier, np.array([5_000, 15_000, 59_999, 60_000, 0, 14_999]))
    rows = {name.partition(" (")[0]: np.flatnonzero(part).tolist() for name, part in parts.items()}
    assert rows == {
        "new viewers": [0, 1],
        "quiet viewers": [0, 1],
        "middle viewers": [2],
        "busy viewers": [3, 4, 5],
        "short videos": [0, 5],
        "long videos": [3],
    }


def test_a_segment_is_judged_by_its_own_rows_and_one_without_any_is_left_out():
    parts = {"one": VIEWER == 3, "nobody": VIEWER == 99}
    [found] = segment_reports(parts, VIEWER, LABEL, P, 9 * LABEL, 8 * P)
    own = VIEWER == 3
    assert (found.segment, found.rows, found.viewers) == ("one", own.sum(), 1)
    assert found.auc == auc(LABEL[own], P[own]) and found.rate == LABEL[own].mean()
    assert found.mae == mae(9 * LABEL[own], 8 * P[own])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    home = tmp_path_factory.mktemp("evaluated")
    data = logged_world(home)
    last = int(day_of(data.events.time_ms, 0).max()) - 1
    config = CONFIG.model_copy(update={"towers": TowerConfig(epochs=1, holdout_ms=0)})
    return evaluate(data, config, home / "scratch", last)


def test_a_day_is_judged_with_live_and_with_frozen_state(report):
    heads = {head.head: head for head in report.heads}
    long_view = heads["long_view"]
    assert long_view.figures["auc"] == long_view.popularity.ours
    assert 0.4 < long_view.figures["gauc_frozen"] < 0.9
    assert {"mae", "rmse"} <= heads["watch_time"].figures.keys()
    assert all("debiased_gauc_frozen" in heads[name].figures for name in ("watch_rank", "watch_standing"))
    assert sum(s.rows for s in report.segments if "viewers (" in s.segment and "third" in s.segment) < report.test_rows
    assert {"blend", "popular"} <= {each.source for each in report.retrieval.lists}


def test_popularity_lists_better_known_videos_than_chance(report):
    lists = {each.source: each for each in report.retrieval.lists}
    assert lists["popular"].novelty < np.log2(VIDEOS)
    assert all(0 < each.coverage < 1 and 0 < each.creator_gini < 1 for each in lists.values())
