"""The standing of a watch among those of videos of about its length."""

import numpy as np

from features.dataset import Rows
from features.raw import Histories
from training.standing import STANDING, Standing, with_standing

LENGTH = np.array([5_000, 5_000, 5_000, 5_000, 90_000, 90_000])
WATCHED = np.array([1.0, 2.0, 2.0, 4.0, 10.0, 30.0])


def test_a_watch_stands_where_it_is_among_those_of_its_length():
    # Of the short ones 1 s is behind half of itself: 0.5 / 4; 2 s has one below and is one of two: (1 + 3) / 8.
    found = Standing.fit(LENGTH, WATCHED, parts=2).of(LENGTH, WATCHED)
    np.testing.assert_allclose(found, [0.125, 0.5, 0.5, 0.875, 0.25, 0.75])


def test_other_watches_are_placed_among_the_known_ones():
    standing = Standing.fit(LENGTH, WATCHED, parts=2)
    found = standing.of(np.array([4_000, 5_000, 1_000_000, 5_000]), np.array([3.0, 30.0, 30.0, np.nan]))
    np.testing.assert_allclose(found, [0.75, 1.0, 0.75, np.nan])


def test_the_length_says_nothing_of_the_standing():
    rng = np.random.default_rng(0)
    length_ms = rng.integers(3_000, 300_000, 20_000)
    standing = Standing.fit(length_ms, length_ms / 1_000 * rng.random(20_000)).of(
        length_ms, length_ms / 1_000 * rng.random(20_000)
    )
    assert abs(np.corrcoef(length_ms, standing)[0, 1]) < 0.1
    assert abs(standing.mean() - 0.5) < 0.01


def rows(time_ms: np.ndarray) -> Rows:
    number = np.arange(len(time_ms))
    past = Histories(*(np.zeros((len(time_ms), 1), np.int64) for _ in range(3)), number)
    labels = {"watch_time": np.array([1, 3, np.nan, 2], np.float32)}
    columns = [number] * 3 + [time_ms] + [number] * 4 + [np.full(len(time_ms), 5_000)]
    return Rows(*columns, labels, np.zeros((len(time_ms), 0), np.float32), past, 0)


def test_only_earlier_watches_say_what_is_usual_and_an_unreported_one_has_no_standing():
    before = rows(np.array([10, 20, 30, 40]))
    found = with_standing(before, until_ms=30)
    # 1 s and 3 s are known: 2 s stands between them.
    np.testing.assert_allclose(found.labels[STANDING], [0.25, 0.75, np.nan, 0.5])
    assert STANDING not in before.labels and found.labels["watch_time"] is before.labels["watch_time"]


def test_where_nothing_is_known_nothing_has_a_standing():
    assert np.isnan(with_standing(rows(np.array([10, 20, 30, 40])), until_ms=10).labels[STANDING]).all()
