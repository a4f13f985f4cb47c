import numpy as np
import pytest

from candidate_gen.examples import first_watches, histories_at
from candidate_gen.interactions import (
    CLICK,
    LIKE,
    LONG_VIEW,
    Interactions,
    interactions_of,
    signal_weight,
)
from candidate_gen.popularity import log_share, popularity_history
from core.errors import InputError


def small():
    # viewer 0: videos 3, 1, 3 at 10, 20, 30; viewer 1: nothing; viewer 2: video 2 at 5.
    return interactions_of(
        np.asarray([2, 0, 0, 0]),
        np.asarray([2, 3, 3, 1]),
        np.asarray([5, 30, 10, 20]),
        np.asarray([LONG_VIEW, CLICK, LIKE, 0]),
        np.zeros((3, 1), np.int32),
        (1,),
    )


def test_watches_are_sorted_by_viewer_and_time():
    watches = small()
    assert watches.indptr.tolist() == [0, 3, 3, 4]
    assert watches.video.tolist() == [3, 1, 3, 2]
    assert watches.viewer().tolist() == [0, 0, 0, 2]


def test_watches_before_a_time_keep_every_viewer():
    early = small().before(20)
    assert early.indptr.tolist() == [0, 1, 1, 2]
    assert early.viewers == 3


def test_watches_out_of_order_are_refused():
    w = small()
    with pytest.raises(InputError, match="older"):
        Interactions(w.indptr, w.video, w.time_ms[::-1].copy(), w.signal, w.profile, (1,))


def test_lengths_that_disagree_are_refused():
    w = small()
    with pytest.raises(InputError, match="indptr"):
        Interactions(w.indptr, w.video[:2], w.time_ms, w.signal, w.profile, (1,))


def test_the_largest_weight_of_a_watch_counts():
    weights = (0.3, 1.0, 1.5, 2.0, 0.1, 0.0, 0.5)
    got = signal_weight(np.asarray([0, LONG_VIEW | LIKE, CLICK, 16], np.uint8), weights)
    assert got.tolist() == [0.3, 1.5, 0.5, 0.0]


def test_a_history_is_strictly_before_its_example():
    # Position 2 is at 30; watches at 20 and 10 come before it, newest first. At time 20 only 10 is left.
    past = histories_at(small(), np.asarray([0, 0]), np.asarray([30, 20]), np.asarray([2, 2]), 3)
    assert past.video.tolist() == [[1, 3, -1], [3, -1, -1]]
    assert past.signal.tolist() == [[0, LIKE, 0], [LIKE, 0, 0]]


def test_a_second_watch_of_a_video_is_known():
    assert first_watches(small(), 4).tolist() == [True, True, False, True]


def test_popularity_never_sees_the_present_step():
    history = popularity_history(
        np.asarray([0, 1, 1]), np.asarray([0, 10, 20]), np.ones(3), 2, step_ms=10, half_life_ms=10
    )
    # Every step halves: video 0 has 1/2 then 1/4, video 1 joins with 1/2.
    assert history.counts.tolist() == [[0, 0], [0.5, 0], [0.25, 0.5], [0.125, 0.75]]
    assert history.step(np.asarray([0, 9, 10, 999])).tolist() == [0, 0, 1, 3]


def test_log_share_does_not_depend_on_the_scale():
    counts = np.asarray([1.0, 2.0, 0.0])
    np.testing.assert_allclose(log_share(counts), log_share(8 * counts), rtol=1e-6)
