"""Every metric against a slow, obvious oracle."""

import math
import statistics

import numpy as np
import pytest

from training.list_metrics import coverage, creator_gini, novelty
from training.metrics import (
    auc,
    calibration_error,
    calibration_floor,
    debiased_gauc,
    debiased_list_gauc,
    grouped_auc,
    logloss,
    mae,
    paired,
    rmse,
    viewer_bootstrap,
    within,
    xauc,
)


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


def test_the_bootstrap_resamples_viewers_and_not_rows() -> None:
    viewer = np.repeat(np.arange(40), 25)
    label = np.repeat(np.random.default_rng(1).random(40), 25)  # rows of a viewer are all alike
    low, high = viewer_bootstrap(viewer, lambda index: float(label[index].mean()), 400, np.random.default_rng(2))
    by_viewer = label.reshape(40, 25)[:, 0]
    spread = 1.96 * by_viewer.std() / math.sqrt(40)
    assert high - low == pytest.approx(2 * spread, rel=0.2)
    assert low < label.mean() < high


def test_gauc_is_the_auc_of_each_viewer_with_both_classes_weighted_by_impressions() -> None:
    rng = np.random.default_rng(3)
    viewer, score = rng.integers(0, 30, 200), rng.integers(0, 6, 200).astype(float)
    label = (rng.random(200) < 0.25).astype(float)
    total, rows = 0.0, 0
    for one in np.unique(viewer):
        mine = viewer == one
        if 0 < label[mine].sum() < mine.sum():
            total += auc(label[mine], score[mine]) * mine.sum()
            rows += mine.sum()
    assert 0 < rows < 200
    assert grouped_auc(label, score, viewer) == pytest.approx(total / rows, abs=1e-12)


def test_gauc_without_a_viewer_of_both_classes_is_not_a_number() -> None:
    assert math.isnan(grouped_auc(np.array([1.0, 0.0]), np.array([1.0, 2.0]), np.array([7, 9])))


def test_within_a_bucket_only_pairs_of_one_viewer_and_one_bucket_are_compared() -> None:
    viewer, bucket = np.array([1, 1, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 0, 1])
    label, score = np.array([1.0, 0, 0, 1, 1, 0]), np.array([0.9, 0.1, 0.8, 0.2, 0.5, 0.5])
    # Viewer 1: right in bucket 0, wrong in bucket 1, both of two rows; viewer 2 has no pair within a bucket.
    assert grouped_auc(label, score, within(viewer, bucket)) == pytest.approx(0.5)


def test_the_floor_is_the_calibration_error_of_labels_drawn_from_the_predictions() -> None:
    rng = np.random.default_rng(4)
    probability = rng.uniform(0.05, 0.6, 3000)
    drawn = [calibration_error((rng.random(3000) < probability).astype(float), probability) for _ in range(400)]
    median, high = calibration_floor(probability, np.random.default_rng(5), 400)
    assert median == pytest.approx(np.median(drawn), rel=0.05)
    assert high == pytest.approx(np.quantile(drawn, 0.95), rel=0.1)


def test_calibration_error_by_hand_over_bins_of_equal_mass() -> None:
    # Sorted by prediction the bins are {.1, .2} with labels {0, 1} and {.6, .9} with labels {1, 1}:
    # |1 - .3| + |2 - 1.5| = 1.2 over four rows.
    probability, label = np.array([0.9, 0.1, 0.6, 0.2]), np.array([1.0, 0.0, 1.0, 1.0])
    assert calibration_error(label, probability, bins=2) == pytest.approx(0.3)


def test_xauc_is_the_share_of_pairs_of_different_amounts_in_the_right_order() -> None:
    rng = np.random.default_rng(6)
    label, score = rng.integers(0, 9, 70).astype(float), rng.integers(0, 7, 70).astype(float)
    pairs = [(i, j) for i in range(70) for j in range(70) if label[i] > label[j]]
    won = [(score[i] > score[j]) + 0.5 * (score[i] == score[j]) for i, j in pairs]
    assert xauc(label, score) == pytest.approx(np.mean(won), abs=1e-12)
    assert math.isnan(xauc(np.ones(5), np.arange(5.0)))


def test_a_paired_gain_has_the_sign_of_what_is_better_and_cancels_what_both_share() -> None:
    rng = np.random.default_rng(7)
    viewer, label = np.repeat(np.arange(50), 20), rng.normal(size=1000)
    noise = rng.normal(size=1000)
    gain = paired(mae, -1.0, label, label + noise, label + 2 * noise)
    # Ours errs by |noise|, the other by twice as much: the gain is the mean of |noise| in every sample of viewers.
    assert gain(np.arange(1000)) == pytest.approx(np.abs(noise).mean())
    low, high = viewer_bootstrap(viewer, gain, 200, rng)
    assert 0 < low < np.abs(noise).mean() < high


def test_coverage_novelty_and_gini_by_hand() -> None:
    lists = np.array([[0, 1], [0, -1]])
    assert coverage(lists, 4) == pytest.approx(0.5)
    # Watches 1, 0, 0, 0 with one more each: shares 2/5, 1/5, 1/5, 1/5; the places are 0, 1, 0.
    surprise = [-math.log2(2 / 5), -math.log2(1 / 5), -math.log2(2 / 5)]
    assert novelty(lists, np.array([1, 0, 0, 0])) == pytest.approx(np.mean(surprise))


def test_gini_is_the_mean_difference_of_creators_over_twice_the_mean() -> None:
    rng = np.random.default_rng(8)
    lists, author = rng.integers(0, 40, (9, 5)), rng.integers(0, 7, 40)
    places = np.bincount(author[lists.ravel()], minlength=7)
    slow = np.abs(places[:, None] - places[None, :]).mean() / (2 * places.mean())
    assert creator_gini(lists, author, 7) == pytest.approx(slow)
    assert creator_gini(np.zeros((3, 2), np.int64), np.zeros(1, np.int64), 1) == pytest.approx(0.0)


def test_debiased_gauc_asks_who_watched_longer_than_usual_for_the_length() -> None:
    amount, bucket = np.array([1.0, 3.0, 10.0, 30.0]), np.array([0, 0, 1, 1])
    group = np.zeros(4, np.int64)
    # Medians 2 and 20: rows 1 and 3 are above. Ranking by length alone orders neither bucket: ties, one half each.
    assert debiased_gauc(amount, np.array([0.0, 0.0, 1.0, 1.0]), group, bucket) == pytest.approx(0.5)
    assert debiased_gauc(amount, np.array([0.1, 0.2, 0.8, 0.9]), group, bucket) == pytest.approx(1.0)
    assert debiased_gauc(amount, np.array([0.1, 0.2, 0.9, 0.8]), group, bucket) == pytest.approx(0.5)


def test_in_a_whole_list_an_order_by_length_is_no_order_of_what_was_watched_for_its_length() -> None:
    amount, bucket = np.array([1.0, 3.0, 10.0, 30.0]), np.array([0, 0, 1, 1])
    group = np.zeros(4, np.int64)
    # Above their median are rows 1 and 3: by length two of their pairs with rows 0 and 2 tie, one wins, one loses.
    assert debiased_list_gauc(amount, np.array([0.0, 0.0, 1.0, 1.0]), group, bucket) == pytest.approx(0.5)
    # By seconds row 1 loses to row 2; by the standing nobody loses.
    assert debiased_list_gauc(amount, amount, group, bucket) == pytest.approx(0.75)
    assert debiased_list_gauc(amount, np.array([0.2, 0.8, 0.1, 0.9]), group, bucket) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", [debiased_gauc, debiased_list_gauc])
def test_debiased_metrics_are_shares_of_pairs(metric) -> None:
    rng = np.random.default_rng(3)
    group, bucket = rng.integers(0, 12, 300), rng.integers(0, 4, 300)
    amount, score = rng.exponential(bucket + 1), rng.integers(0, 9, 300).astype(float)
    usual = {one: statistics.median(amount[bucket == one].tolist()) for one in range(4)}
    above = [a > usual[b] for a, b in zip(amount, bucket, strict=True)]
    lists: dict[object, list[int]] = {}
    for row in range(300):
        lists.setdefault((group[row], bucket[row]) if metric is debiased_gauc else group[row], []).append(row)
    won = total = 0.0
    for rows in lists.values():
        better, worse = [r for r in rows if above[r]], [r for r in rows if not above[r]]
        if better and worse:
            pairs = [(score[a] > score[b]) + 0.5 * (score[a] == score[b]) for a in better for b in worse]
            won, total = won + len(rows) * sum(pairs) / len(pairs), total + len(rows)
    assert metric(amount, score, group, bucket) == pytest.approx(won / total, abs=1e-12)
