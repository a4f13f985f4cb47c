"""Reference statistics of a logged history: does the code follow the law?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.beta_table import CONCENTRATION, beta_cdf
from simulation.compiled import compiled
from simulation.law import COMMENT, FOLLOW, LIKE, SHARE, KernelLaw
from simulation.logged_sessions import LONG_MS, LONG_RATIO
from simulation.scores import gini
from simulation.utility import leave_chance, ratio_logit, sigmoid
from simulation.world import World

TEST_SHARE = 0.5  # the last rows, for the AUC of means


@dataclass(frozen=True)
class Statistics:
    """Rates are shares of shown impressions."""

    left: float
    long_view: float
    like: float
    comment: float
    share: float
    follow: float
    median_watch_s: float
    median_duration_s: float
    gini: float
    auc_truth: float
    auc_means: float


RANGES = {
    "left": (0.34, 0.44),
    "long_view": (0.30, 0.38),
    "like": (0.015, 0.035),
    "comment": (0.004, 0.012),
    "share": (0.004, 0.012),
    "follow": (0.003, 0.009),
    "median_watch_s": (4.0, 7.0),
    "median_duration_s": (22.0, 42.0),
    "gini": (0.55, 0.90),
    "auc_truth": (0.70, 0.80),
    "auc_means": (0.53, 0.66),
}
"""What a generator that follows the law gives with 10,000 viewers and the default seed."""


def measure(world: World, rows: NDArray[np.void]) -> Statistics:
    """Statistics of shown rows (dtype ROW, in time order)."""
    length_ms = world.videos.length_ms[rows["video"]]
    watched = (rows["play_ms"] >= LONG_RATIO * length_ms) | (rows["play_ms"] >= LONG_MS)

    def rate(action: int) -> float:
        return float((rows["actions"] >> action & 1).mean())

    return Statistics(
        left=float(rows["left"].mean()),
        long_view=float(watched.mean()),
        like=rate(LIKE),
        comment=rate(COMMENT),
        share=rate(SHARE),
        follow=rate(FOLLOW),
        median_watch_s=float(np.median(rows["play_ms"]) / 1000),
        median_duration_s=float(np.median(length_ms) / 1000),
        gini=gini(np.bincount(rows["video"], minlength=len(world.videos)).astype(np.float64)),
        auc_truth=auc(
            long_view_chances(
                world.law.kernel, rows["known_appeal"].astype(np.float64), length_ms, world.videos.bait[rows["video"]]
            ),
            watched,
        ),
        auc_means=_auc_of_means(rows, watched),
    )


@compiled
def long_view_chances(
    law: KernelLaw, appeals: NDArray[np.float64], length_ms: NDArray[np.int32], bait: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """True chance of a long view given the appeal without mood and noise: [rows]."""
    chances = np.empty(len(appeals))
    for i in range(len(appeals)):
        threshold = min(LONG_RATIO, LONG_MS / length_ms[i])
        mean = sigmoid(ratio_logit(law, appeals[i], length_ms[i]))
        again = sigmoid(law.again_intercept + appeals[i])
        short = beta_cdf(CONCENTRATION * mean, CONCENTRATION * (1.0 - mean), threshold)
        chances[i] = (1.0 - leave_chance(law, appeals[i], bait[i])) * (1.0 - (1.0 - again) * short)
    return chances


def auc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve; ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - 0.5 * (counts - 1)
    hits = int(positive.sum())
    total = rank[inverse][positive].sum() - hits * (hits + 1) / 2
    return float(total / (hits * (len(scores) - hits)))


def _auc_of_means(rows: NDArray[np.void], watched: NDArray[np.bool_]) -> float:
    """AUC of (video mean + user mean), learnt on the first half and tested on the last; unknown ones have the mean."""
    cut = int(len(rows) * (1.0 - TEST_SHARE))
    score = np.zeros(len(rows) - cut)
    for column in ("video", "viewer"):
        size = int(rows[column].max()) + 1
        views = np.bincount(rows[column][:cut], minlength=size)
        hits = np.bincount(rows[column][:cut], weights=watched[:cut], minlength=size)
        mean = np.where(views > 0, hits / np.maximum(views, 1), watched[:cut].mean())
        score += mean[rows[column][cut:]]
    return auc(score, watched[cut:])
