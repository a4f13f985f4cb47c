"""Features of a candidate beside the history, against the obvious sums; the same bits alone and together."""

import numpy as np
import pytest

from features.layout import LIKE_BIT, LONG_VIEW_BIT, NEGATIVE_BIT, SKIP_BIT, STRONG_BIT
from feeds.cross import CROSS, history_cross, unit_rows

VIDEOS, LENT = 60, 8


def draw(seed, viewers, dim=5):
    """Histories, neighbours (some -1) and unit content."""
    rng = np.random.default_rng(seed)
    near = np.stack([rng.permutation(VIDEOS)[:LENT] for _ in range(VIDEOS)]).astype(np.int32)
    near[rng.random(near.shape) < 0.2] = -1
    return (
        rng.integers(0, VIDEOS, (viewers, 50)).astype(np.int32),
        rng.integers(0, 64, (viewers, 50)).astype(np.uint8),
        rng.integers(0, 51, viewers),
        near,
        rng.random((VIDEOS, LENT)).astype(np.float32),
        unit_rows(rng.normal(size=(VIDEOS, dim)).astype(np.float32)),
    )


def obvious(video, signal, row, near, strength, content):
    """The four columns of one candidate, in plain floats."""
    positive = [v for v, s in zip(video, signal, strict=True) if s & (LONG_VIEW_BIT | LIKE_BIT | STRONG_BIT)]
    skipped = [
        v for v, s in zip(video, signal, strict=True)
        if not s & (LONG_VIEW_BIT | LIKE_BIT | STRONG_BIT) and s & (SKIP_BIT | NEGATIVE_BIT)
    ]  # fmt: skip
    lent = sum(float(strength[v, k]) for v in positive for k in range(LENT) if near[v, k] == row)
    liked = [float(content[v] @ content[row]) for v in positive]
    left = [float(content[v] @ content[row]) for v in skipped]
    return [lent, max(liked, default=-1.0), sum(liked) / max(len(liked), 1), sum(left) / max(len(left), 1)]


def test_it_is_the_sum_over_the_history(seed=1):
    video, signal, length, near, strength, content = draw(seed, 3)
    owner, rows = np.repeat(np.arange(3, dtype=np.int32), VIDEOS), np.tile(np.arange(VIDEOS, dtype=np.int32), 3)
    got = history_cross(owner, video, signal, length, rows, near, strength, content)
    want = [
        obvious(video[u, : length[u]], signal[u, : length[u]], row, near, strength, content)
        for u, row in zip(owner, rows, strict=True)
    ]
    assert got.dtype == np.float32 and got == pytest.approx(np.array(want), abs=1e-5)
    assert got.shape[1] == len(CROSS) - CROSS.index("neighbour_score")


def test_training_and_serving_get_the_same_bits_whatever_stands_beside_a_candidate():
    video, signal, length, near, strength, content = draw(2, 4)
    rng = np.random.default_rng(3)
    owner, rows = rng.integers(0, 4, 200).astype(np.int32), rng.integers(0, VIDEOS, 200).astype(np.int32)
    parts = (video, signal, length)
    mixed = history_cross(owner, *parts, rows, near, strength, content)
    order = np.argsort(owner, kind="stable")
    grouped = history_cross(owner[order], *parts, rows[order], near, strength, content)
    alone = [history_cross(owner[i : i + 1], *parts, rows[i : i + 1], near, strength, content) for i in range(200)]
    assert mixed[order].tobytes() == grouped.tobytes() and mixed.tobytes() == np.concatenate(alone).tobytes()


def test_without_content_or_history_there_is_nothing_to_compare():
    video, signal, length, near, strength, content = draw(4, 1)
    rows = np.arange(3, dtype=np.int32)
    owner = np.zeros(3, np.int32)
    none = history_cross(owner, video, signal, np.zeros(1, int), rows, near, strength, content)
    assert none.tolist() == [[0, -1, 0, 0]] * 3
    bare = history_cross(owner, video, signal, length, rows, near, strength, content[:, :0])
    assert bare[:, 1:].tolist() == [[-1, 0, 0]] * 3


def test_a_video_that_came_since_resembles_nothing():
    video, signal, length, near, strength, content = draw(5, 1)
    length[:], signal[0, :3] = 3, LIKE_BIT
    rows, owner = np.arange(VIDEOS, dtype=np.int32), np.zeros(VIDEOS, np.int32)
    newer = video.copy()
    newer[0, 1] = 1_000_000
    got = history_cross(owner, newer, signal, length, rows, near, strength, content)
    # As a video whose content and neighbours are empty.
    empty, lends = np.concatenate([content, np.zeros((1, 5), np.float32)]), np.full((VIDEOS + 1, LENT), -1, np.int32)
    lends[:VIDEOS], newer[0, 1] = near, VIDEOS
    padded = np.concatenate([strength, strength[:1]])
    assert got.tobytes() == history_cross(owner, newer, signal, length, rows, lends, padded, empty).tobytes()


def test_unit_rows_have_length_one_and_zeros_stay():
    rows = unit_rows(np.array([[3, 4], [0, 0]], np.float32))
    assert rows == pytest.approx(np.array([[0.6, 0.8], [0, 0]])) and rows.dtype == np.float32
    assert unit_rows(np.zeros((2, 0), np.float32)).shape == (2, 0)
