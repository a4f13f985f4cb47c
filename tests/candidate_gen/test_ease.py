import numpy as np

from candidate_gen.ease import EaseConfig, fit_ease
from candidate_gen.interactions import LONG_VIEW, interactions_of
from candidate_gen.watch_weights import WatchWeights

SAME = WatchWeights(signals=(1, 1, 1, 1, 1, 1, 1), half_life_ms=1e15)


def watches_of(matrix):
    viewer, video = np.nonzero(matrix)
    flat = np.full(len(viewer), LONG_VIEW)
    return interactions_of(viewer, video, flat.astype(np.int64), flat, np.zeros((len(matrix), 0), np.int32), ())


def test_each_column_is_the_ridge_regression_on_the_other_videos():
    matrix = (np.random.default_rng(0).random((30, 6)) < 0.4).astype(float)
    found = fit_ease(watches_of(matrix), 6, EaseConfig(regularisation=2.0, neighbours=6, weights=SAME))
    dense = np.zeros((6, 6))
    for row in range(6):
        kept = found.rows[row] >= 0
        dense[row, found.rows[row][kept]] = found.scores[row][kept]
    for video in range(6):
        # EASE's column is the regression of that video on all others, by Steck's equation (4).
        others = [other for other in range(6) if other != video]
        x = matrix[:, others]
        ridge = np.linalg.solve(x.T @ x + 2 * np.eye(5), x.T @ matrix[:, video])
        np.testing.assert_allclose(dense[others, video], ridge, atol=1e-5)
        assert dense[video, video] == 0


def test_only_the_weights_furthest_from_zero_are_kept_the_largest_first():
    matrix = (np.random.default_rng(1).random((60, 9)) < 0.4).astype(float)
    every = fit_ease(watches_of(matrix), 9, EaseConfig(regularisation=1.0, neighbours=9, weights=SAME))
    few = fit_ease(watches_of(matrix), 9, EaseConfig(regularisation=1.0, neighbours=2, weights=SAME))
    for row in range(9):
        far = np.argsort(-np.abs(every.scores[row]), kind="stable")[:2]
        best = sorted(far, key=lambda at: -every.scores[row, at])
        assert few.rows[row].tolist() == every.rows[row, best].tolist()
        assert few.scores[row].tolist() == every.scores[row, best].tolist()


def test_only_the_most_watched_take_part_and_no_watch_gives_no_neighbour():
    matrix = np.array([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]], float)
    found = fit_ease(watches_of(matrix), 5, EaseConfig(regularisation=1.0, videos=3, neighbours=4, weights=SAME))
    assert set(found.rows[:3].ravel().tolist()) <= {-1, 0, 1, 2} and (found.rows[3:] == -1).all()
    none = fit_ease(watches_of(np.zeros((2, 5))), 5, EaseConfig())
    assert (none.rows == -1).all() and not none.scores.any()
