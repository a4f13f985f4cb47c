"""Metrics of predictions; each has a slow, obvious oracle in its test. Lists: `training.list_metrics`."""

from collections.abc import Callable

import numpy as np

from core.arrays import Array, Float64


def auc(label: Array, score: Array) -> float:
    """Area under the ROC curve, ties half; NaN when one class is missing."""
    positive = label > 0
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((ranks(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def ranks(score: Array) -> Float64:
    """Ranks from 1, ties averaged. [n] float64"""
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)]
    placed = np.empty(len(score), np.float64)
    placed[order] = np.repeat((starts + 1 + ends) / 2, ends - starts)
    return placed


def grouped_auc(label: Array, score: Array, group: Array) -> float:
    """The mean AUC of the groups [n] that have both classes, weighted by their rows; NaN when none has.

    With the viewer (or viewer and day) as the group this is GAUC.
    """
    size = np.unique(group, return_counts=True)[1]
    of = np.unique(group, return_inverse=True)[1]
    # Ranks of (group, score): those of a group follow each other, from the number of rows in the groups before.
    value = np.unique(score, return_inverse=True)[1]
    rank = ranks(of.astype(np.int64) * len(value) + value) - np.r_[0, np.cumsum(size)[:-1]][of]
    positive = label > 0
    n = np.bincount(of, positive, len(size))
    won = np.bincount(of, rank * positive, len(size)) - n * (n + 1) / 2
    both = (n > 0) & (n < size)
    if not both.any():
        return float("nan")
    return float(np.average(won[both] / (n * (size - n))[both], weights=size[both]))


def within(group: Array, bucket: Array) -> Array:
    """One code for each (group, bucket) of rows. [n] int64"""
    codes = np.unique(bucket, return_inverse=True)[1]
    return np.asarray(np.unique(group, return_inverse=True)[1].astype(np.int64) * len(codes) + codes)


def above_median(amount: Array, bucket: Array) -> Array:
    """Which amounts [n] are above the median of their bucket [n]: a label that owes the length nothing (after Zhan et
    al., KDD 2022). [n] 0 or 1"""
    median = np.array(
        [np.median(amount[bucket == one]) if (bucket == one).any() else 0 for one in range(bucket.max() + 1)]
    )
    return np.asarray(amount > median[bucket], np.float64)


def debiased_gauc(amount: Array, score: Array, group: Array, bucket: Array) -> float:
    """GAUC of "above the median of its bucket of lengths" among rows of one group and one bucket: neither the label nor
    the score can win by the length."""
    return grouped_auc(above_median(amount, bucket), score, within(group, bucket))


def debiased_list_gauc(amount: Array, score: Array, group: Array, bucket: Array) -> float:
    """GAUC of "above the median of its bucket of lengths" among all rows of one group: a score that follows the length
    loses."""
    return grouped_auc(above_median(amount, bucket), score, group)


def logloss(label: Array, probability: Array) -> float:
    """Mean negative log likelihood, probabilities clipped at 1e-7."""
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log(1 - p)))


def calibration_error(label: Array, probability: Array, bins: int = 15) -> float:
    """ECE over equal-mass bins: the mean over rows of |mean label - mean prediction| of the row's bin."""
    order = np.argsort(probability, kind="stable")
    return _gap(label[order], probability[order], bins)


def calibration_floor(
    probability: Array, rng: np.random.Generator, rounds: int = 200, bins: int = 15
) -> tuple[float, float]:
    """(median, 95% quantile) of the ECE that these predictions have if each is exactly right: a parametric bootstrap,
    with labels drawn from the predictions."""
    ordered = np.sort(probability)
    drawn = [_gap((rng.random(len(ordered)) < ordered).astype(float), ordered, bins) for _ in range(rounds)]
    return float(np.median(drawn)), float(np.quantile(drawn, 0.95))


def _gap(label: Array, ordered: Array, bins: int) -> float:
    starts = np.array([part[0] for part in np.array_split(np.arange(len(ordered)), bins) if len(part)])
    return float(np.abs(np.add.reduceat(label - ordered, starts)).sum() / len(label))


def mae(label: Array, prediction: Array) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(label - prediction)))


def rmse(label: Array, prediction: Array) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean((label - prediction) ** 2)))


def xauc(label: Array, score: Array) -> float:
    """The share of pairs with different amounts that the score puts in their order, ties half; NaN without such pairs
    (Zhan et al., KDD 2022)."""
    amount = np.unique(label, return_inverse=True)[1]
    value = np.unique(score, return_inverse=True)[1]
    size = np.bincount(amount)
    pairs = (len(label) ** 2 - (size.astype(np.float64) ** 2).sum()) / 2
    return float(_concordant(amount, value, size) / pairs) if pairs else float("nan")


def _concordant(amount: Array, value: Array, size: Array) -> float:
    """Pairs in the right order: rows come by amount, and each asks how many before it have a lower value. A pair with
    one amount is never counted, for rows of one amount ask before they are added."""
    from training.order_counts import lower_before

    order = np.argsort(amount, kind="stable")
    return float(lower_before(value[order].astype(np.int64), np.cumsum(size)))


def paired(metric: Callable[..., float], sign: float, *columns: Array) -> Callable[[Array], float]:
    """A statistic of row numbers: by how much ours is better than the baseline. `columns`: label, our prediction, the
    baseline's, then what the metric takes beside; `sign` -1 where less is better."""
    label, ours, other, *beside = columns

    def gain(index: Array) -> float:
        rest = [column[index] for column in beside]
        return sign * (metric(label[index], ours[index], *rest) - metric(label[index], other[index], *rest))

    return gain


def viewer_bootstrap(
    viewer: Array, statistic: Callable[[Array], float], rounds: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95% interval of a statistic of row numbers, resampling viewers with replacement."""
    values = viewer_resamples(viewer, statistic, rounds, rng)
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def viewer_resamples(
    viewer: Array, statistic: Callable[[Array], float], rounds: int, rng: np.random.Generator
) -> Float64:
    """A statistic of row numbers, for each time that viewers were drawn with replacement. [rounds] float64"""
    order = np.argsort(viewer, kind="stable")
    _, starts, counts = np.unique(viewer[order], return_index=True, return_counts=True)
    values = []
    for _ in range(rounds):
        drawn = rng.integers(len(starts), size=len(starts))
        size = counts[drawn]
        offset = np.repeat(starts[drawn] - np.r_[0, np.cumsum(size)[:-1]], size)
        values.append(statistic(order[np.arange(size.sum()) + offset]))
    return np.asarray(values, np.float64)
