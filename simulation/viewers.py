"""Viewers: who is there, what they like, and how their tastes drift."""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from simulation.law import ACTIONS, DAYPARTS, DIMENSIONS, LANGUAGES, MAX_INTERESTS, STYLES, TOPICS, Law
from simulation.topics import Topics

REGION_SHARE = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
REGION_LANGUAGE = np.array([0, 0, 0, 1, 2], np.int8)
LANGUAGE_SHARE = np.array([0.6, 0.2, 0.12, 0.08])
MAIN_LANGUAGE_SHARE = 0.9
SECOND_LANGUAGE_SHARE = 0.85
DEVICES = ("android", "ios", "web")
AGE_BANDS = ("13-17", "18-24", "25-34", "35-44", "45-54", "55+")
CHOOSE_TOPICS_SHARE = 0.3
AGE_HINT_SHARE = 0.25


@dataclass(frozen=True)
class Viewers:
    """Struct of arrays, one row for each viewer; hidden and public columns together."""

    region: NDArray[np.int8]
    language: NDArray[np.int8]
    spoken: NDArray[np.uint8]  # bit set of languages
    device: NDArray[np.int8]
    age_band: NDArray[np.int8]
    signup_ms: NDArray[np.int64]
    chosen_topics: NDArray[np.int32]  # bit set of topics, 0 for none
    interests: NDArray[np.int16]  # [viewers, 5]; unused slots repeat the first
    weights: NDArray[np.float32]  # [viewers, 5]; unused slots 0
    deviation: NDArray[np.float32]  # [viewers, 16]
    style_taste: NDArray[np.float32]  # [viewers, 4 dayparts, 6 styles]
    activity: NDArray[np.float32]  # views a day
    propensities: NDArray[np.float32]  # [viewers, 8 actions]
    cluster: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.region)

    def joined(self, others: "Viewers") -> "Viewers":
        """These viewers, then the others."""
        return Viewers(*(np.concatenate([getattr(self, f.name), getattr(others, f.name)]) for f in fields(self)))


def draw_region_and_language(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Region and first language of `count` people; most speak their region's language."""
    region = rng.choice(len(REGION_SHARE), count, p=REGION_SHARE).astype(np.int8)
    other = rng.choice(LANGUAGES, count, p=LANGUAGE_SHARE)
    main = rng.random(count) < MAIN_LANGUAGE_SHARE
    return region, np.where(main, REGION_LANGUAGE[region], other).astype(np.int8)


def draw_viewers(rng: np.random.Generator, law: Law, topics: Topics, signup_ms: NDArray[np.int64]) -> Viewers:
    """New viewers, one for each sign-up time."""
    count = len(signup_ms)
    region, language = draw_region_and_language(rng, count)
    second = rng.choice(LANGUAGES, count, p=LANGUAGE_SHARE)
    second = np.where(second == language, (language + rng.integers(1, LANGUAGES, size=count)) % LANGUAGES, second)
    spoken = (1 << language) | np.where(rng.random(count) < SECOND_LANGUAGE_SHARE, 1 << second, 0)
    cluster = _draw_clusters(rng, law, count)
    interests, weights = _draw_interests(rng, law, topics.log_demand[cluster])
    hint = (topics.group(interests[:, 0]) + 2) % len(AGE_BANDS)
    hinted = rng.random(count) < AGE_HINT_SHARE
    return Viewers(
        region=region,
        language=language,
        spoken=spoken.astype(np.uint8),
        device=rng.choice(len(DEVICES), count, p=[0.55, 0.35, 0.1]).astype(np.int8),
        age_band=np.where(hinted, hint, rng.integers(len(AGE_BANDS), size=count)).astype(np.int8),
        signup_ms=signup_ms,
        chosen_topics=_choose_topics(rng, interests, weights),
        interests=interests,
        weights=weights,
        deviation=law.taste_noise_sd * rng.standard_normal((count, DIMENSIONS), np.float32),
        style_taste=law.style_taste_sd * rng.standard_normal((count, DAYPARTS, STYLES), np.float32),
        activity=rng.lognormal(np.log(law.activity_median), law.activity_log_sd, count).astype(np.float32),
        propensities=rng.standard_normal((count, len(ACTIONS)), np.float32),
        cluster=cluster,
    )


def _draw_clusters(rng: np.random.Generator, law: Law, count: int) -> NDArray[np.int8]:
    """The taste cluster of each viewer; the last one is the rare minority where the law has one."""
    if law.taste_clusters == 1:
        return np.zeros(count, np.int8)
    common = rng.integers(law.taste_clusters - 1, size=count)
    minority = rng.random(count) < law.minority_share
    return np.where(minority, law.taste_clusters - 1, common).astype(np.int8)


def _draw_interests(
    rng: np.random.Generator, law: Law, log_demand: NDArray[np.float64]
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """2 to 5 different topics for each viewer by demand (Gumbel top-k), with Dirichlet weights, heaviest first."""
    count = len(log_demand)
    order = np.argsort(-(log_demand + rng.gumbel(size=(count, TOPICS))), axis=1)[:, :MAX_INTERESTS]
    used = np.arange(MAX_INTERESTS) < rng.integers(2, MAX_INTERESTS + 1, size=count)[:, None]
    mass = np.where(used, rng.gamma(law.interest_concentration, size=(count, MAX_INTERESTS)) + 1e-9, 0.0)
    weights = mass / mass.sum(axis=1, keepdims=True)
    interests = np.where(used, order, order[:, :1])
    heaviest = np.argsort(-weights, axis=1, kind="stable")
    interests = np.take_along_axis(interests, heaviest, axis=1)
    weights = np.take_along_axis(weights, heaviest, axis=1)
    return interests.astype(np.int16), weights.astype(np.float32)


def _choose_topics(
    rng: np.random.Generator, interests: NDArray[np.int16], weights: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Topics that some viewers name at sign-up: each true interest with chance 0.7, as a bit set."""
    named = (weights > 0) & (rng.random(weights.shape) < 0.7)
    bits = np.bitwise_or.reduce(np.where(named, 1 << interests.astype(np.int32), 0), axis=1)
    return np.where(rng.random(len(weights)) < CHOOSE_TOPICS_SHARE, bits, 0).astype(np.int32)


def drifted(viewers: Viewers, rng: np.random.Generator, law: Law, topics: Topics, late_topic: int = -1) -> Viewers:
    """The viewers a day later: an Ornstein-Uhlenbeck step and some swapped interests.

    With `late_topic` 0 or more, 10% of the viewers also take that topic up.
    """
    rho = law.taste_autocorrelation
    step = np.float32(law.taste_noise_sd * np.sqrt(1.0 - rho * rho))
    noise = rng.standard_normal(viewers.deviation.shape, np.float32)
    interests = viewers.interests.copy()
    swapping = np.flatnonzero(rng.random(len(viewers)) < law.interest_swap_share)
    fresh, _ = _draw_interests(rng, law, topics.log_demand[viewers.cluster[swapping]])
    _swap(rng, interests, viewers.weights, swapping, fresh[:, 0])
    if late_topic >= 0:
        taking = np.flatnonzero(rng.random(len(viewers)) < 0.1)
        _swap(rng, interests, viewers.weights, taking, np.full(len(taking), late_topic, np.int16))
    return replace(viewers, deviation=np.float32(rho) * viewers.deviation + step * noise, interests=interests)


def turned(viewers: Viewers, rng: np.random.Generator, law: Law) -> Viewers:
    """The viewers after a shift of taste: whoever liked a topic likes another one, the same for all, and what is each
    viewer's own is drawn anew."""
    order = rng.permutation(TOPICS)
    other = np.arange(TOPICS + 1, dtype=np.int16)
    other[order] = np.roll(order, 1)
    deviation = np.float32(law.taste_noise_sd) * rng.standard_normal(viewers.deviation.shape, np.float32)
    return replace(viewers, interests=other[viewers.interests], deviation=deviation)


def _swap(
    rng: np.random.Generator,
    interests: NDArray[np.int16],
    weights: NDArray[np.float32],
    rows: NDArray[np.int64],
    topics: NDArray[np.int16],
) -> None:
    """Put each topic in one used slot of its viewer, in place."""
    used = (weights[rows] > 0).sum(axis=1)
    slot = (rng.random(len(rows)) * used).astype(np.int64)
    interests[rows, slot] = topics


def taste_vectors(viewers: Viewers, law: Law, topics: Topics) -> NDArray[np.float32]:
    """Unit taste vectors [viewers, k, 16]: k = 1 mean taste, or one for each interest (k = 5)."""
    if law.max_over_interests:
        tastes = topics.centroids[viewers.interests] + viewers.deviation[:, None, :]
    else:
        mean = viewers.deviation.copy()
        for slot in range(MAX_INTERESTS):
            mean += viewers.weights[:, slot, None] * topics.centroids[viewers.interests[:, slot]]
        tastes = mean[:, None, :]
    answer: NDArray[np.float32] = tastes / np.linalg.norm(tastes, axis=2, keepdims=True)
    return answer
