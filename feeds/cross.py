"""Features that meet a viewer's history and a bundle's models; training and serving share these functions.

CROSS names the columns that follow the declared features in the ranker's matrix.
"""

from typing import Final

import numpy as np
from numba import njit

from core.arrays import Array, Float32
from features.layout import LIKE_BIT, LONG_VIEW_BIT, NEGATIVE_BIT, SKIP_BIT, STRONG_BIT

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

CROSS: Final = (
    "tower_score",
    "tower_bias",
    "affinity",
    "position",
    "session_length_lift",
    "neighbour_score",
    "content_best_positive",
    "content_mean_positive",
    "content_mean_skipped",
)
HISTORY_FROM: Final = CROSS.index("neighbour_score")
# Where a candidate is read as standing. Models learn from the position at which a video was shown, so that what a place
# earned is not credited to the video; at serving each candidate is asked as if it were shown first.
SERVED_POSITION: Final = 0.0
_POSITIVE: Final = LONG_VIEW_BIT | LIKE_BIT | STRONG_BIT
_NEGATIVE: Final = SKIP_BIT | NEGATIVE_BIT


@njit(cache=True)
def _neighbour_totals(watched, signal, candidate, start, stop, neighbours, strength, place, total):
    """Add to `total` of candidates start..stop what the watches [h] with a positive signal lend them; `place`
    [videos] is -1 throughout, before and after."""
    for i in range(start, stop):
        place[candidate[i]] = i
    for k in range(watched.shape[0]):
        if signal[k] & _POSITIVE and watched[k] < neighbours.shape[0]:
            for j in range(neighbours.shape[1]):
                row = neighbours[watched[k], j]
                if row >= 0 and place[row] >= 0:
                    total[place[row]] += strength[watched[k], j]
    for i in range(start, stop):
        total[i] = total[place[candidate[i]]]
    for i in range(start, stop):
        place[candidate[i]] = -1


@njit(cache=True)
def _likeness(past, signal, vector, dots, out):
    """Best and mean product with positive watches, and mean with skipped ones, into out [3]; `past` [dim, h]."""
    best, mean, skipped = -1.0, 0.0, 0.0
    positives, negatives = 0, 0
    dots[:] = 0.0
    for d in range(past.shape[0]):
        for k in range(past.shape[1]):
            dots[k] += past[d, k] * vector[d]
    for k in range(past.shape[1]):
        if signal[k] & _POSITIVE:
            positives += 1
            mean += dots[k]
            best = max(best, dots[k])
        elif signal[k] & _NEGATIVE:
            negatives += 1
            skipped += dots[k]
    out[0], out[1], out[2] = best, mean / max(positives, 1), skipped / max(negatives, 1)


@njit(cache=True)
def _history_cross(owner, video, signal, length, candidate, neighbours, strength, content, place, out):
    """One stretch of candidates with the same owner after the other; `past` lies so that products run over watches."""
    n = candidate.shape[0]
    total = np.zeros(n, np.float64)
    start = 0
    while start < n:
        stop, u = start, owner[start]
        while stop < n and owner[stop] == u:
            stop += 1
        watched, marks = video[u, : length[u]], signal[u, : length[u]]
        _neighbour_totals(watched, marks, candidate, start, stop, neighbours, strength, place, total)
        past = np.empty((content.shape[1], len(watched) if content.shape[1] else 0), np.float32)
        for k in range(past.shape[1]):
            past[:, k] = 0
            if watched[k] < content.shape[0]:
                past[:, k] = content[watched[k]]
        dots = np.zeros(past.shape[1], np.float64)
        for i in range(start, stop):
            out[i, 0] = total[i]
            _likeness(past, marks, content[candidate[i]], dots, out[i, 1:])
        start = stop


def history_cross(
    owner: Array,
    video: Array,
    signal: Array,
    length: Array,
    candidate: Array,
    neighbours: Array,
    strength: Float32,
    content: Float32,
) -> Float32:
    """Columns HISTORY_FROM.. of CROSS for candidates [n] of histories [viewers, H]; `owner` [n] is each one's.

    `neighbours` [videos, K], distinct in a row, with `strength` [videos, K]; `content` [videos, dim] unit vectors. A
    history may hold videos that came since: they resemble nothing.
    The same bits whatever the owners' order. [n, 4] float32
    """
    out = np.zeros((len(candidate), len(CROSS) - HISTORY_FROM), np.float32)
    place = np.full(max(len(content), len(neighbours)), -1, np.int64)
    _history_cross(owner, video, signal, length, candidate, neighbours, strength, content, place, out)
    return out


def unit_rows(vectors: Float32) -> Float32:
    """Each row divided by its length; zero rows stay zero. [n, dim] float32"""
    norm = (
        np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)) if vectors.size else np.zeros(len(vectors))
    )
    return (vectors / np.maximum(norm, 1e-9)[:, None]).astype(np.float32)
