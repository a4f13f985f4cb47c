"""A weighted sum of sources' scores, for what the sources hold together over the whole catalogue."""

from collections.abc import Sequence

import numpy as np

from candidate_gen.recall import HeldOut, recall_at, top_rows, without_seen
from core.arrays import Float32

_GRID = (0.0, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5)


def standardised(scores: Float32) -> Float32:
    """Each viewer's scores at mean 0 and variance 1, so that sources can be added. [viewers, videos]"""
    spread = scores.std(axis=1, keepdims=True)
    flat: Float32 = (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-9)
    return flat.astype(np.float32)


def blended(sources: Sequence[Float32], weights: Sequence[float]) -> Float32:
    """The weighted sum of standardised scores, each [viewers, videos]."""
    total = np.zeros_like(sources[0])
    for scores, weight in zip(sources, weights, strict=True):
        if weight:
            total += np.float32(weight) * standardised(scores)
    return total


def fit_weights(
    sources: Sequence[Float32], held: HeldOut, k: int = 100, rounds: int = 2
) -> tuple[tuple[float, ...], float]:
    """Weights by coordinate search on recall@k of a validation split, the first source fixed at 1; and that recall."""
    flat = [standardised(scores) for scores in sources]
    weights = [1.0] + [0.0] * (len(flat) - 1)
    best = _recall(flat, weights, held, k)
    for _ in range(rounds):
        for at in range(1, len(flat)):
            for weight in _GRID:
                trial = [*weights[:at], weight, *weights[at + 1 :]]
                recall = _recall(flat, trial, held, k)
                if recall > best:
                    best, weights = recall, trial
    return tuple(weights), best


def _recall(sources: Sequence[Float32], weights: Sequence[float], held: HeldOut, k: int) -> float:
    total = sum(np.float32(w) * scores for w, scores in zip(weights, sources, strict=True) if w)
    scores = without_seen(np.asarray(total, np.float32), held)
    return recall_at(top_rows(scores, k), held, scores.shape[1], k)
