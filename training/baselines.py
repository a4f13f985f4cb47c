"""What a bundle must beat: popularity and item-to-item, each turned into a prediction of every head."""

import numpy as np

from core.arrays import Array, Float64
from features.dataset import Rows

SMOOTHING = 10.0
BINS = 30


def popularity(rows: Rows, label: Array, before_ms: int, videos: int) -> Float64:
    """Each video's own rate of a label before a moment, pulled to the mean as by ten observations. [videos]"""
    known = ~np.isnan(label) & (rows.time_ms < before_ms)
    of = rows.video[known]
    total = np.bincount(of, label[known], minlength=videos)
    count = np.bincount(of, minlength=videos)
    mean = float(label[known].mean())
    return np.asarray((total + SMOOTHING * mean) / (count + SMOOTHING))


def mapped(score: Array, fit_score: Array, fit_label: Array, median: bool) -> Float64:
    """A score as a prediction: the label's mean (or median) in bins of equal mass of the fitting rows."""
    edges = np.unique(np.quantile(fit_score, np.linspace(0, 1, BINS + 1)[1:-1]))
    where = np.searchsorted(edges, fit_score, side="right")
    overall = float(np.median(fit_label) if median else fit_label.mean())
    level = np.full(len(edges) + 1, overall)
    for number in np.unique(where):
        part = fit_label[where == number]
        level[number] = np.median(part) if median else part.mean()
    return np.asarray(level[np.searchsorted(edges, score, side="right")])
