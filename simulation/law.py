"""The law of the world as constants: what viewers feel, what they do, and how the world moves.

Only intercepts may differ from the written law, to land inside its reference statistics. Those that do:
the mean watch ratio has 0.55 (written: 0) and following has -6.7 (written: -7.0). All others are as written.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ACTIONS = ("like", "comment", "share", "save", "follow", "not_interested", "hide_author", "report")
LIKE, COMMENT, SHARE, SAVE, FOLLOW, NOT_INTERESTED, HIDE_AUTHOR, REPORT = range(8)
TOPICS, GROUPS, DIMENSIONS, STYLES, DAYPARTS = 24, 6, 16, 6, 4
REGIONS, LANGUAGES, MAX_INTERESTS, EMBEDDING_DIMENSIONS = 5, 4, 5, 32
STYLE_MEDIAN_SECONDS = (8.0, 15.0, 25.0, 40.0, 70.0, 120.0)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
EPOCH_MS = 1_704_067_200_000  # 2024-01-01T00:00Z

LEAVE_INTERCEPT = -0.8
RATIO_INTERCEPT = 0.55
ACTION_INTERCEPTS = (-5.8, -6.8, -7.0, -6.5, -6.7, -6.5, -8.5, -8.0)
ACTION_SLOPES = (1.1, 0.9, 1.0, 1.0, 0.8, -1.0, -1.0, -0.8)


class KernelLaw(NamedTuple):
    """What a viewer feels and does, in the form that compiled code reads."""

    cosine: float = 2.0
    quality: float = 0.8
    style: float = 0.7
    mood: float = 0.6
    mood_duration_ms: int = 40_000
    trend: float = 0.5
    follows: float = 0.4
    same_topic: float = -0.25
    same_author: float = -0.5
    unspoken_language: float = -2.0
    seen_before: float = -3.0
    noise_sd: float = 1.4
    leave_intercept: float = LEAVE_INTERCEPT
    bait_pull: float = 1.5
    ratio_intercept: float = RATIO_INTERCEPT
    ratio_slope: float = 0.9
    ratio_log_duration: float = -0.35
    again_intercept: float = -4.0
    action_intercepts: tuple[float, ...] = ACTION_INTERCEPTS
    action_slopes: tuple[float, ...] = ACTION_SLOPES
    follow_creator_quality: float = 0.8
    report_bait: float = 2.0
    end_intercept: float = -3.2
    end_slope: float = -0.5
    end_three_leaves: float = 1.0
    attention_loss: float = 0.0  # share of attention lost with each position; unattended videos are left


@dataclass(frozen=True)
class Law:
    """One law: the viewer's part in `kernel`, the world's part beside it."""

    name: str = "plain"
    kernel: KernelLaw = field(default_factory=KernelLaw)
    video_noise_sd: float = 0.6
    taste_noise_sd: float = 0.3
    creator_quality_sd: float = 0.5
    video_quality_sd: float = 0.8
    own_topic_share: float = 0.8
    bait_share: float = 0.03
    bait_quality: float = -1.5
    videos_per_creator: int = 8
    style_taste_sd: float = 0.6
    zipf_exponent: float = 1.1
    interest_concentration: float = 0.7
    activity_median: float = 25.0  # views a day
    activity_log_sd: float = 1.264  # ln(200 / 25) / 1.645, so that p95 is 200
    follows_median: float = 12.0
    follows_log_sd: float = 1.535  # ln(150 / 12) / 1.645, so that p95 is 150
    follower_exponent: float = 1.8
    follower_cap_share: float = 0.2
    new_videos_share: float = 0.02  # a day, of the initial number
    new_viewers_share: float = 0.01
    new_creators_share: float = 0.005
    taste_autocorrelation: float = 0.985  # a day
    interest_swap_share: float = 0.01  # of viewers, a day
    ageing: float = -0.15  # appeal a day, in half of the topics
    burst_gap_days: float = 2.0
    burst_rise_ms: int = 6 * HOUR_MS
    burst_half_life_ms: int = 18 * HOUR_MS
    return_intercept: float = 1.2
    return_slope: float = 0.8
    satisfaction_rate: float = 0.2
    max_over_interests: bool = False  # cosine with the best interest in place of the mean taste
    taste_clusters: int = 1
    minority_share: float = 0.0  # of viewers, in the last cluster
    feedback_delay_ms: int = 0  # upper bound
    judged_new_viewers_share: float = 0.01  # a day, after the history
    new_topic_day: int = -1  # days after the history's end, first day 0; -1: never
    shift_day: int = -1  # on which every viewer turns to other topics; days as above


def law_named(name: str) -> Law:
    """The law `plain`, `misspecified`, `drifting` or `shifting`; raises ValueError for another name."""
    plain = Law()
    if name == "plain":
        return plain
    if name == "misspecified":
        return replace(
            plain,
            name=name,
            kernel=plain.kernel._replace(attention_loss=0.04),
            max_over_interests=True,
            taste_clusters=8,
            minority_share=0.03,
            feedback_delay_ms=6 * HOUR_MS,
        )
    if name == "drifting":
        return replace(
            plain,
            name=name,
            taste_autocorrelation=0.985**10,
            interest_swap_share=0.1,
            judged_new_viewers_share=0.2,
            new_topic_day=2,
        )
    if name == "shifting":
        return replace(plain, name=name, shift_day=1)
    raise ValueError(f"unknown law {name!r}: plain, misspecified, drifting or shifting")


def topic_count(law: Law) -> int:
    """Topics that exist at some time, the late one included."""
    return TOPICS + (1 if law.new_topic_day >= 0 else 0)


def return_probability(law: Law, satisfaction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chance of coming back the next day: [viewers]."""
    answer: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-law.return_intercept - law.return_slope * satisfaction))
    return answer
