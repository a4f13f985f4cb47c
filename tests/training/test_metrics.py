"""Every metric against a slow, obvious oracle."""

import math

import numpy as np
import pytest

from training.metrics import auc, calibration_error, logloss, mae, ndcg_at, recall_at, rmse, viewer_bootstrap


def test_auc_is_the_share_of_pairs_in_the_right_order_with_ties_half() -> None:
    rng = np.random.default_rng(0)
    label, score = (rng.random(80) < 0.3).astype(float), rng.integers(0, 12, 80).astype(float)
    wins = [(a > b) + 0.5 * (a == b) for a in score[label > 0] for b in score[label == 0]]
    assert auc(label, score) == pytest.approx(sum(wins) / len(wins), abs=1e-12)


def test_auc_of_one_class_is_not_a_number() -> None:
    assert math.isnan(auc(np.ones(4), np.arange(4.0)))


def test_logloss_of_a_hand_made_case() -> None:
    # -(ln 0.8 + ln(1 - 0.4)) / 2
    expected = -(math.log(0.8) + math.log(0.6)) / 2
    assert logloss(np.array([1.0, 0.0]), np.array([0.8, 0.4])) == pytest.approx(expected)


def test_a_certain_mistake_costs_a_finite_logloss() -> None:
    assert math.isfinite(logloss(np.array([1.0]), np.array([0.0])))


def test_errors_of_amounts_by_hand() -> None:
    label, prediction = np.array([1.0, 2.0, 6.0]), np.array([2.0, 2.0, 2.0])
    assert mae(label, prediction) == pytest.approx(5 / 3)
    assert rmse(label, prediction) == pytest.approx(math.sqrt(17 / 3))


def test_calibration_error_is_zero_when_every_bin_is_right_and_the_gap_when_all_are_off() -> None:
    label = np.tile([0.0, 1.0], 150)
    assert calibration_error(label, np.full(300, 0.5)) == pytest.approx(0.0)
    assert calibration_error(label, np.full(300, 0.9)) == pytest.approx(0.4)


def test_recall_and_ndcg_by_hand() -> None:
    ranked, relevant = np.array([5, 3, 9, 1]), np.array([3, 1, 7])
    assert recall_at(ranked, relevant, 3) == pytest.approx(1 / 3)
    # the hit is in second place; the ideal has three hits
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg_at(ranked, relevant, 3) == pytest.approx((1 / math.log2(3)) / ideal)


def test_the_bootstrap_resamples_viewers_and_not_rows() -> None:
    viewer = np.repeat(np.arange(40), 25)
    label = np.repeat(np.random.default_rng(1).random(40), 25)  # rows of a viewer are all alike
    low, high = viewer_bootstrap(viewer, lambda index: float(label[index].mean()), 400, np.random.default_rng(2))
    by_viewer = label.reshape(40, 25)[:, 0]
    spread = 1.96 * by_viewer.std() / math.sqrt(40)
    assert high - low == pytest.approx(2 * spread, rel=0.2)
    assert low < label.mean() < high
