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
    "neighbour_score",
    "content_best_positive",
    "content_mean_positive",
    "content_mean_skipped",
)
_POSITIVE: Final = LONG_VIEW_BIT | LIKE_BIT | STRONG_BIT
_NEGATIVE: Final = SKIP_BIT | NEGATIVE_BIT


@njit(cache=True)
def _history_cross(owner, video, signal, length, candidate, neighbours, strength, content, out):
    for i in range(candidate.shape[0]):
        u, row = owner[i], candidate[i]
        total, best, mean, skipped = 0.0, -1.0, 0.0, 0.0
        positives, negatives = 0, 0
        for k in range(length[u]):
            watched = video[u, k]
            positive = signal[u, k] & _POSITIVE
            if positive and watched < neighbours.shape[0]:
                for j in range(neighbours.shape[1]):
                    if neighbours[watched, j] == row:
                        total += strength[watched, j]
                        break
            if content.shape[1] == 0 or not (positive or signal[u, k] & _NEGATIVE):
                continue
            dot = 0.0
            for d in range(content.shape[1]):
                dot += content[watched, d] * content[row, d]
            if positive:
                positives += 1
                mean += dot
                best = max(best, dot)
            else:
                negatives += 1
                skipped += dot
        out[i, 0] = total
        out[i, 1] = best
        out[i, 2] = mean / max(positives, 1)
        out[i, 3] = skipped / max(negatives, 1)


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
    """Columns 2.. of CROSS for candidates [n] of histories [viewers, H]; `owner` [n] names each one's history.

    `neighbours` [videos, K] with `strength` [videos, K]; `content` [videos, dim] unit vectors. [n, 4] float32
    """
    out = np.zeros((len(candidate), len(CROSS) - 2), np.float32)
    _history_cross(owner, video, signal, length, candidate, neighbours, strength, content, out)
    return out


def unit_rows(vectors: Float32) -> Float32:
    """Each row divided by its length; zero rows stay zero. [n, dim] float32"""
    norm = (
        np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)) if vectors.size else np.zeros(len(vectors))
    )
    return (vectors / np.maximum(norm, 1e-9)[:, None]).astype(np.float32)
