import numpy as np

from candidate_gen.blend import blended, fit_weights, standardised
from candidate_gen.recall import HeldOut, ndcg_at, recall_at, top_rows, without_seen


def held(viewers, videos):
    nothing = np.zeros(viewers + 1, np.int64)
    return HeldOut(np.arange(viewers + 1), videos, nothing, np.zeros(0, np.int32))


def test_a_source_on_another_scale_counts_the_same():
    scores = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    np.testing.assert_allclose(standardised(scores), standardised(100 * scores + 7), atol=1e-4)


def test_the_weights_find_the_source_that_knows():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 500, 200)
    noise = rng.normal(size=(200, 500)).astype(np.float32)
    knows = rng.normal(size=(200, 500)).astype(np.float32)
    knows[np.arange(200), truth] += 3
    later = held(200, truth.astype(np.int32))
    weights, recall = fit_weights([noise, knows], later, k=20)
    assert weights[0] == 1 and weights[1] >= 1
    best = top_rows(blended([noise, knows], weights), 20)
    assert recall == recall_at(best, later, 500, 20)
    assert recall > recall_at(top_rows(noise, 20), later, 500, 20)


def test_seen_videos_are_not_ranked():
    later = HeldOut(np.asarray([0, 1]), np.asarray([1]), np.asarray([0, 1]), np.asarray([2]))
    scores = np.asarray([[0.0, 1.0, 9.0]], np.float32)
    assert top_rows(without_seen(scores, later), 2).tolist() == [[1, 0]]


def test_the_discounted_gain_of_a_hit_at_the_second_place():
    # One video to find: 1 / log2(3) at place two, over 1 / log2(2) = 1.
    later = held(1, np.asarray([5], np.int32))
    assert abs(ndcg_at(np.asarray([[4, 5]]), later, 9, 2) - 1 / np.log2(3)) < 1e-12
