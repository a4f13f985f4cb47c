"""What judging a policy measured, and how far it closes the gap between popularity and the oracle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.newcomers import NONE, NewVideos

RESAMPLES = 2000


@dataclass(frozen=True)
class JudgeResult:
    """Measures of one run; arrays are by sampled viewer, in the same order for every policy of a seed."""

    reward_per_view: float
    viewer_ids: list[str]
    viewer_reward: NDArray[np.float64]  # sum over the counted views
    viewer_views: NDArray[np.float64]  # counted views; ones that the policy left empty included, at reward 0
    session_views: float  # views for each session end
    return_probability: float  # mean chance of coming the next day, after each day
    coverage: float  # share of the catalogue shown at least once
    creator_gini: float  # of views over creators with a live video
    new_viewer_reward: float  # reward per view over new viewers' first 20 videos
    good_new_video_views: float  # views in its first day of a good new video, per 1000 views judged
    repeats: int  # shown again or seen before: dropped
    invalid: int  # unknown, not yet uploaded or beyond the limit: dropped
    author_cap_breaches: int  # shown beyond two of an author on a page: counted only
    missing_views: int  # views that the policy could not fill
    new_videos: NewVideos = NONE  # of creators without a follower
    daily_reward: tuple[float, ...] = ()  # reward per counted view of each day


@dataclass(frozen=True)
class GapClosed:
    """(policy - popularity) / (oracle - popularity) with a 95% interval."""

    mean: float
    low: float
    high: float
    by_seed: list[float]


def regret_of_new_viewers(policy: JudgeResult, oracle: JudgeResult) -> float:
    """Reward per view that new viewers miss in their first 20 videos."""
    return oracle.new_viewer_reward - policy.new_viewer_reward


def gini(amounts: NDArray[np.float64]) -> float:
    """Gini coefficient of amounts of 0 or more; 0 where all is 0."""
    ordered = np.sort(amounts)
    total, count = float(ordered.sum()), len(ordered)
    if total == 0:
        return 0.0
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * total))


def gap_closed(
    policy: JudgeResult | Sequence[JudgeResult],
    popularity: JudgeResult | Sequence[JudgeResult],
    oracle: JudgeResult | Sequence[JudgeResult],
    rng: np.random.Generator,
) -> GapClosed:
    """Mean over seeds of the closed gap; interval by resampling seeds, and viewers within each, paired.

    Raises ValueError unless the runs pair up: equal numbers, the same viewers for one seed.
    """
    runs = list(zip(_listed(policy), _listed(popularity), _listed(oracle), strict=True))
    if any(len({tuple(run.viewer_ids) for run in trio}) > 1 for trio in runs):
        raise ValueError("the runs of one seed must judge the same viewers")
    whole = [_closed(*(_mean(run, np.arange(len(run.viewer_ids))[None]) for run in trio)) for trio in runs]
    resampled = np.stack([_resampled(trio, rng) for trio in runs])
    picks = rng.integers(len(runs), size=(RESAMPLES, len(runs)))
    means = resampled[picks, np.arange(RESAMPLES)[:, None]].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    by_seed = [float(value[0]) for value in whole]
    return GapClosed(float(np.mean(by_seed)), float(low), float(high), by_seed)


def _listed(results: JudgeResult | Sequence[JudgeResult]) -> list[JudgeResult]:
    return [results] if isinstance(results, JudgeResult) else list(results)


def _closed(
    policy: NDArray[np.float64], popularity: NDArray[np.float64], oracle: NDArray[np.float64]
) -> NDArray[np.float64]:
    answer: NDArray[np.float64] = (policy - popularity) / (oracle - popularity)
    return answer


def _mean(run: JudgeResult, picks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Reward per view of each resample of viewers: [resamples]."""
    answer: NDArray[np.float64] = run.viewer_reward[picks].sum(axis=1) / run.viewer_views[picks].sum(axis=1)
    return answer


def _resampled(trio: tuple[JudgeResult, JudgeResult, JudgeResult], rng: np.random.Generator) -> NDArray[np.float64]:
    """Closed gap of each bootstrap resample of the viewers: [resamples]."""
    count = len(trio[0].viewer_ids)
    picks = rng.integers(count, size=(RESAMPLES, count))
    return _closed(*(_mean(run, picks) for run in trio))
