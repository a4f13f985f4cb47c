"""Metrics of ranking and retrieval; each has a slow, obvious oracle in its test."""

from collections.abc import Callable

import numpy as np

from core.arrays import Array, Float64


def auc(label: Array, score: Array) -> float:
    """Area under the ROC curve, ties half; NaN when one class is missing."""
    positive = label > 0
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((_ranks(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def _ranks(score: Array) -> Float64:
    """Ranks from 1, ties averaged."""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)]
    ranks = np.empty(len(score), np.float64)
    ranks[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return ranks


def logloss(label: Array, probability: Array) -> float:
    """Mean negative log likelihood, probabilities clipped at 1e-7."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log(1 - p)))


def calibration_error(label: Array, probability: Array, bins: int = 15) -> float:
    """ECE over equal-mass bins."""
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, bins)
    gaps = [abs(label[p].mean() - probability[p].mean()) * len(p) for p in parts if len(p)]
    return float(sum(gaps) / len(label))


def mae(label: Array, prediction: Array) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(label - prediction)))


def rmse(label: Array, prediction: Array) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((label - prediction) ** 2)))


def viewer_bootstrap(
    viewer: Array, statistic: Callable[[Array], float], rounds: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95% interval of a statistic of row numbers, resampling viewers with replacement."""
    order = np.argsort(viewer, kind="stable")
    _, starts, counts = np.unique(viewer[order], return_index=True, return_counts=True)
    values = []
    for _ in range(rounds):
        drawn = rng.integers(len(starts), size=len(starts))
        size = counts[drawn]
        offset = np.repeat(starts[drawn] - np.r_[0, np.cumsum(size)[:-1]], size)
        values.append(statistic(order[np.arange(size.sum()) + offset]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def recall_at(ranked: Array, relevant: Array, k: int) -> float:
    """Share of the relevant videos among the first k ranked."""
    return float(np.isin(relevant, ranked[:k]).mean()) if len(relevant) else float("nan")


def ndcg_at(ranked: Array, relevant: Array, k: int) -> float:
    """Binary NDCG with the ideal over min(k, relevant) places."""
    if not len(relevant):
        return float("nan")
    hits = np.isin(ranked[:k], relevant)
    gain = (hits / np.log2(np.arange(len(hits)) + 2)).sum()
    ideal = (1 / np.log2(np.arange(min(k, len(relevant))) + 2)).sum()
    return float(gain / ideal)
