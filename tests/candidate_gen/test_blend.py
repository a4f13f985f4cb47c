import numpy as np
import pytest

from candidate_gen.blend import Blend, blended, fit_weights, standardised
from candidate_gen.recall import (
    HeldOut,
    held_out,
    ndcg_at,
    ndcgs,
    ranks,
    recall_at,
    recalls,
    top_rows,
    without_seen,
)
from core.errors import CorruptData


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
    weights, recall = fit_weights([noise, knows], later, cuts=(20,))
    assert weights[0] == 1 and weights[1] >= 1
    best = top_rows(blended([noise, knows], weights), 20)
    assert recall == pytest.approx(recall_at(best, later, 500, 20))
    assert recall > recall_at(top_rows(noise, 20), later, 500, 20)


def test_seen_videos_are_not_ranked():
    later = HeldOut(np.asarray([0, 1]), np.asarray([1]), np.asarray([0, 1]), np.asarray([2]))
    scores = np.asarray([[0.0, 1.0, 9.0]], np.float32)
    assert top_rows(without_seen(scores, later), 2).tolist() == [[1, 0]]


def test_the_discounted_gain_of_a_hit_at_the_second_place():
    # One video to find: 1 / log2(3) at place two, over 1 / log2(2) = 1.
    later = held(1, np.asarray([5], np.int32))
    assert abs(ndcg_at(np.asarray([[4, 5]]), later, 9, 2) - 1 / np.log2(3)) < 1e-12


def some_scores(seed=0, viewers=7, videos=40):
    """Scores with many ties, three videos to find and four seen by each viewer."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 9, (viewers, videos)).astype(np.float32)
    rows = np.stack([rng.permutation(videos)[:7] for _ in range(viewers)])
    ends = np.arange(viewers + 1)
    later, seen = np.sort(rows[:, :3], axis=1).ravel(), rows[:, 3:].ravel()
    return scores, HeldOut(3 * ends, later.astype(np.int32), 4 * ends, seen.astype(np.int32))


def test_a_rank_counts_the_unseen_videos_above_as_a_full_sort_does():
    scores, held = some_scores()
    order = [sorted(range(40), key=lambda v, row=row: (-row[v], v)) for row in without_seen(scores, held)]
    expected = [order[at // 3].index(video) for at, video in enumerate(held.video)]
    assert ranks(scores, held).tolist() == expected


def test_recall_and_gain_by_ranks_are_those_of_the_top_rows():
    scores, held = some_scores(1)
    rank, top = ranks(scores, held), top_rows(without_seen(scores, held), 5)
    assert recalls(rank, held, 5).mean() == pytest.approx(recall_at(top, held, 40, 5))
    assert ndcgs(rank, held, 5).mean() == pytest.approx(ndcg_at(top, held, 40, 5))


def test_a_part_of_the_viewers_has_the_same_ranks():
    scores, held = some_scores(2)
    assert np.array_equal(ranks(scores[2:5], held.part(2, 5)), ranks(scores, held)[6:15])


def test_what_was_watched_before_is_not_held_out():
    # Of viewer 1's later videos 4 and 6 the first was seen, viewer 3 watched 2 twice; viewer 0 has nothing later.
    past, later = np.array([5, 14, 14, 17]), np.array([14, 16, 32, 32])
    held, viewers = held_out(past, later, 10)
    assert viewers.tolist() == [1, 3]
    assert held.indptr.tolist() == [0, 1, 2] and held.video.tolist() == [6, 2]
    assert held.seen_indptr.tolist() == [0, 2, 2] and held.seen.tolist() == [4, 7]


def test_a_source_that_knows_nothing_gets_no_weight():
    scores, held = some_scores(3)
    weights, _ = fit_weights([scores, np.zeros_like(scores)], held, cuts=(5,))
    assert weights == (1.0, 0.0)


def test_a_blend_is_read_back_and_damage_is_named():
    blend = Blend({"als": 1.0, "popular": 0.2})
    assert Blend.from_bytes(blend.to_bytes()) == blend
    for raw in (b"{", b"[1]", b'{"als": "much"}'):
        with pytest.raises(CorruptData):
            Blend.from_bytes(raw)
