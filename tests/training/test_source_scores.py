import numpy as np

from candidate_gen.interactions import LONG_VIEW, interactions_of
from candidate_gen.item_to_item import Neighbours
from features.layout import DAY_MS
from training.source_scores import last_watches, lent, recent_counts


def test_the_last_watches_of_chosen_viewers_stay_in_order():
    # Viewers have 4, 0 and 2 watches; of the third and the first at most three are taken.
    bounds, at = last_watches(np.array([0, 4, 4, 6]), np.array([2, 1, 0]), 3)
    assert bounds.tolist() == [0, 2, 2, 5]
    assert at.tolist() == [4, 5, 1, 2, 3]


def test_neighbours_lend_what_a_plain_loop_adds_up():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(8)[:3] for _ in range(8)]).astype(np.int32)
    rows[2, 1:] = -1
    neighbours = Neighbours(rows, rng.random((8, 3)).astype(np.float32))
    indptr, video, weight = np.array([0, 3, 3, 5]), rng.integers(0, 8, 5), rng.random(5).astype(np.float32)
    expected = np.zeros((3, 8))
    for viewer in range(3):
        for at in range(indptr[viewer], indptr[viewer + 1]):
            for row, score in zip(rows[video[at]], neighbours.scores[video[at]], strict=True):
                if row >= 0:
                    expected[viewer, row] += weight[at] * score
    np.testing.assert_allclose(lent(neighbours, indptr, video, weight, 8), expected, rtol=1e-6)


def test_a_count_halves_in_two_days():
    flags = np.array([LONG_VIEW, LONG_VIEW, 0])
    past = interactions_of(
        np.zeros(3, int), np.array([0, 1, 1]), np.array([2, 0, 4]) * DAY_MS, flags, np.zeros((1, 0), np.int32), ()
    )
    # On day 4: video 0 has 1 long view two days old, 1/2; video 1 one of four days, 1/4, and .3 of now.
    np.testing.assert_allclose(recent_counts(past, 3, 4 * DAY_MS), [0.5, 0.55, 0])
