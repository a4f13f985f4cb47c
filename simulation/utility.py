"""What a viewer feels about a video (appeal), what follows from it on average, and what follows by chance."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulation.beta_table import quantile
from simulation.compiled import compiled
from simulation.law import COMMENT, DAY_MS, FOLLOW, HIDE_AUTHOR, LIKE, NOT_INTERESTED, REPORT, SAVE, SHARE, KernelLaw

LEAVE_LOW_MS, LEAVE_HIGH_MS = 300, 3000
MAX_RATIO = 3.0
NOISE_DRAW, ATTENTION_DRAW, LEAVE_DRAW, LEAVE_TIME_DRAW, RATIO_DRAW, AGAIN_DRAW, END_DRAW, ACTION_DRAW = range(8)
DRAWS = ACTION_DRAW + 8


class ViewerTable(NamedTuple):
    """Viewers as compiled code reads them."""

    tastes: NDArray[np.float32]  # [viewers, k, 16]
    style_taste: NDArray[np.float32]  # [viewers, dayparts, styles]
    region: NDArray[np.int8]
    spoken: NDArray[np.uint8]
    propensities: NDArray[np.float32]  # [viewers, actions]


class VideoTable(NamedTuple):
    """Videos as compiled code reads them."""

    taste: NDArray[np.float32]  # [videos, 16]
    quality: NDArray[np.float32]
    style: NDArray[np.int8]
    topic: NDArray[np.int16]
    author: NDArray[np.int32]
    language: NDArray[np.int8]
    length_ms: NDArray[np.int32]
    bait: NDArray[np.bool_]
    upload_ms: NDArray[np.int64]
    ageing_per_day: NDArray[np.float32]
    creator_quality: NDArray[np.float32]


@compiled
def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x))."""
    return 1.0 / (1.0 + math.exp(-x))


@compiled
def base_appeal(
    law: KernelLaw,
    viewers: ViewerTable,
    videos: VideoTable,
    u: int,
    v: int,
    daypart: int,
    now_ms: int,
    trend: NDArray[np.float32],
    follows: bool,
    seen: bool,
) -> float:
    """Appeal without mood, recent views and noise; `trend`: [regions, topics]."""
    best = -1.0
    for k in range(viewers.tastes.shape[1]):
        cosine = 0.0
        for i in range(videos.taste.shape[1]):
            cosine += viewers.tastes[u, k, i] * videos.taste[v, i]
        best = max(best, cosine)
    a = law.cosine * best + law.quality * videos.quality[v]
    a += law.style * viewers.style_taste[u, daypart, videos.style[v]]
    a += law.trend * trend[viewers.region[u], videos.topic[v]]
    a += videos.ageing_per_day[v] * (now_ms - videos.upload_ms[v]) / DAY_MS
    if follows:
        a += law.follows
    if (viewers.spoken[u] >> videos.language[v]) & 1 == 0:
        a += law.unspoken_language
    if seen:
        a += law.seen_before
    return float(a)


@compiled
def mood_appeal(law: KernelLaw, mood: float, length_ms: int) -> float:
    """The session's hidden mood for long or for short videos."""
    return law.mood * mood * (1.0 if length_ms > law.mood_duration_ms else -1.0)


@compiled
def hidden_sd(law: KernelLaw, knows_mood: bool) -> float:
    """Deviation of what is not known about a view: the noise, and the mood where it is not known."""
    if knows_mood:
        return law.noise_sd
    return math.sqrt(law.noise_sd**2 + law.mood**2)


@compiled
def repetition_appeal(law: KernelLaw, window: NDArray[np.int32], topic: int, author: int) -> float:
    """Tiredness of the topics (row 0) and authors (row 1) of the last ten views."""
    a = 0.0
    for i in range(window.shape[1]):
        if window[0, i] == topic:
            a += law.same_topic
        if window[1, i] == author:
            a += law.same_author
    return a


@compiled
def leave_chance(law: KernelLaw, a: float, bait: bool) -> float:
    """Chance of leaving within three seconds, for an attentive viewer."""
    return sigmoid(law.leave_intercept - a - (law.bait_pull if bait else 0.0))


@compiled
def ratio_logit(law: KernelLaw, a: float, length_ms: int) -> float:
    """Logit of the mean watch ratio after staying."""
    return law.ratio_intercept + law.ratio_slope * a + law.ratio_log_duration * math.log(length_ms / 20_000.0)


@compiled
def action_chance(
    law: KernelLaw,
    action: int,
    a: float,
    propensities: NDArray[np.float32],
    creator_quality: float,
    bait: bool,
    follows: bool,
) -> float:
    """Chance of one action after a watch; nobody follows an author twice."""
    logit = law.action_intercepts[action] + law.action_slopes[action] * a + propensities[action]
    if action == FOLLOW:
        if follows:
            return 0.0
        logit += law.follow_creator_quality * creator_quality
    elif action == REPORT and bait:
        logit += law.report_bait
    return sigmoid(logit)


@compiled
def attention(law: KernelLaw, position: int) -> float:
    """Share of attention left at a position of the page."""
    return (1.0 - law.attention_loss) ** position


@compiled
def reward_of(
    law: KernelLaw,
    a: float,
    attended: float,
    propensities: NDArray[np.float32],
    creator_quality: float,
    bait: bool,
    follows: bool,
    length_ms: int,
) -> float:
    """Expected reward given the appeal `a`, noise included:

    (1 - stay) * E[seconds before leaving] / length + stay * (m + again (1 - m) + 2 like
    + 4 (1 - (1 - follow)(1 - share)) - 6 (1 - (1 - not_interested)(1 - hide)(1 - report)))
    """
    stay = attended * (1.0 - leave_chance(law, a, bait))
    left = min(0.5 * (LEAVE_LOW_MS + LEAVE_HIGH_MS) / length_ms, 1.0)
    again = sigmoid(law.again_intercept + a)
    value = again + (1.0 - again) * sigmoid(ratio_logit(law, a, length_ms))
    value += 2.0 * action_chance(law, LIKE, a, propensities, creator_quality, bait, follows)
    spread = 1.0
    for action in (SHARE, FOLLOW):
        spread *= 1.0 - action_chance(law, action, a, propensities, creator_quality, bait, follows)
    content = 1.0
    for action in (NOT_INTERESTED, HIDE_AUTHOR, REPORT):
        content *= 1.0 - action_chance(law, action, a, propensities, creator_quality, bait, follows)
    return (1.0 - stay) * left + stay * (value + 4.0 * (1.0 - spread) - 6.0 * (1.0 - content))


@compiled
def expected_reward(
    law: KernelLaw,
    nodes: NDArray[np.float64],
    a: float,
    attended: float,
    propensities: NDArray[np.float32],
    creator_quality: float,
    bait: bool,
    follows: bool,
    length_ms: int,
    noise_sd: float,
) -> float:
    """`reward_of` averaged over normal noise by Gauss-Hermite nodes [2, n]: places, weights."""
    total = 0.0
    for i in range(nodes.shape[1]):
        noisy = a + noise_sd * nodes[0, i]
        total += nodes[1, i] * reward_of(law, noisy, attended, propensities, creator_quality, bait, follows, length_ms)
    return total


def noise_nodes(count: int = 7) -> NDArray[np.float64]:
    """Gauss-Hermite places and weights of a standard normal: [2, count]."""
    places, weights = np.polynomial.hermite_e.hermegauss(count)
    return np.stack([places, weights / weights.sum()])


@compiled
def respond(
    law: KernelLaw,
    quantiles: NDArray[np.float32],
    a: float,
    attended: float,
    propensities: NDArray[np.float32],
    creator_quality: float,
    bait: bool,
    follows: bool,
    length_ms: int,
    draws: NDArray[np.float64],
) -> tuple[int, int, bool]:
    """What happens by chance given the appeal, noise included: play_ms, action bits, left within three seconds."""
    if draws[ATTENTION_DRAW] >= attended or draws[LEAVE_DRAW] < leave_chance(law, a, bait):
        play = LEAVE_LOW_MS + draws[LEAVE_TIME_DRAW] * (LEAVE_HIGH_MS - LEAVE_LOW_MS)
        return min(int(play), length_ms), 0, True
    ratio = quantile(quantiles, ratio_logit(law, a, length_ms), draws[RATIO_DRAW])
    if draws[AGAIN_DRAW] < sigmoid(law.again_intercept + a):
        ratio = 1.0 + (MAX_RATIO - 1.0) * ratio
    actions = 0
    for action in (LIKE, COMMENT, SHARE, SAVE, FOLLOW, NOT_INTERESTED, HIDE_AUTHOR, REPORT):
        if draws[ACTION_DRAW + action] < action_chance(law, action, a, propensities, creator_quality, bait, follows):
            actions |= 1 << action
    return max(int(ratio * length_ms), 1), actions, False
