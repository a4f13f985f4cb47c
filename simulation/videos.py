"""Creators and their videos."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from simulation.law import DIMENSIONS, EMBEDDING_DIMENSIONS, STYLE_MEDIAN_SECONDS, STYLES, TOPICS, Law
from simulation.topics import Topics
from simulation.viewers import draw_region_and_language

DURATION_LOG_SD = 0.35
STYLE_SHARES = (0.06, 0.12, 0.32, 0.32, 0.12, 0.06)
MISLABELLED_SHARE = 0.1
THUMBNAIL_NOISE_SHARE = 0.2
EMBEDDING_NOISE_SD = 0.8
LATE_TOPIC_SHARE = 0.15


@dataclass(frozen=True)
class Creators:
    """Struct of arrays, one row for each creator."""

    first_topic: NDArray[np.int16]
    second_topic: NDArray[np.int16]  # the first again for creators of one topic
    quality: NDArray[np.float32]
    fame: NDArray[np.float64]  # followers that the creator would have, before the cap
    region: NDArray[np.int8]
    language: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.quality)

    def joined(self, others: "Creators") -> "Creators":
        """These creators, then the others."""
        return Creators(*(np.concatenate([getattr(self, f.name), getattr(others, f.name)]) for f in fields(self)))


@dataclass(frozen=True)
class Videos:
    """Struct of arrays, one row for each video, in upload order."""

    author: NDArray[np.int32]
    topic: NDArray[np.int16]  # the true one
    public_topic: NDArray[np.int16]  # 10% mislabelled
    taste: NDArray[np.float32]  # z: [videos, 16], unit length
    quality: NDArray[np.float32]
    style: NDArray[np.int8]
    thumbnail_cluster: NDArray[np.int8]
    length_ms: NDArray[np.int32]
    language: NDArray[np.int8]
    region: NDArray[np.int8]
    bait: NDArray[np.bool_]
    upload_ms: NDArray[np.int64]
    embedding: NDArray[np.float32]  # [videos, 32]

    def __len__(self) -> int:
        return len(self.author)

    def joined(self, others: "Videos") -> "Videos":
        """These videos, then the others."""
        return Videos(*(np.concatenate([getattr(self, f.name), getattr(others, f.name)]) for f in fields(self)))


def draw_creators(rng: np.random.Generator, law: Law, count: int) -> Creators:
    """New creators: 1 or 2 topics, quality, fame by a discrete Pareto law."""
    first = rng.integers(TOPICS, size=count).astype(np.int16)
    second = rng.integers(TOPICS, size=count).astype(np.int16)
    region, language = draw_region_and_language(rng, count)
    fame = np.floor((1.0 - rng.random(count)) ** (-1.0 / (law.follower_exponent - 1.0)))
    return Creators(
        first_topic=first,
        second_topic=np.where(rng.random(count) < 0.5, first, second),
        quality=law.creator_quality_sd * rng.standard_normal(count, np.float32),
        fame=fame,
        region=region,
        language=language,
    )


def draw_videos(
    rng: np.random.Generator,
    law: Law,
    topics: Topics,
    creators: Creators,
    upload_ms: NDArray[np.int64],
    late_topic: int = -1,
) -> Videos:
    """New videos of these creators, one for each upload time (ascending)."""
    count = len(upload_ms)
    author = rng.integers(len(creators), size=count).astype(np.int32)
    topic = _draw_topic(rng, law, creators, author, late_topic)
    taste = topics.centroids[topic] + law.video_noise_sd * rng.standard_normal((count, DIMENSIONS), np.float32)
    taste /= np.linalg.norm(taste, axis=1, keepdims=True)
    bait = rng.random(count) < law.bait_share
    quality = 0.5 * creators.quality[author] + law.video_quality_sd * rng.standard_normal(count, np.float32)
    style = rng.choice(STYLES, count, p=STYLE_SHARES).astype(np.int8)
    seconds = np.array(STYLE_MEDIAN_SECONDS)[style] * rng.lognormal(0.0, DURATION_LOG_SD, count)
    guess = rng.integers(STYLES, size=count).astype(np.int8)
    wrong = rng.integers(TOPICS, size=count).astype(np.int16)
    return Videos(
        author=author,
        topic=topic,
        public_topic=np.where(rng.random(count) < MISLABELLED_SHARE, wrong, topic),
        taste=taste,
        quality=(quality + law.bait_quality * bait).astype(np.float32),
        style=style,
        thumbnail_cluster=np.where(rng.random(count) < THUMBNAIL_NOISE_SHARE, guess, style),
        length_ms=(1000 * np.clip(seconds, 5, 600)).astype(np.int32),
        language=creators.language[author],
        region=creators.region[author],
        bait=bait,
        upload_ms=upload_ms,
        embedding=content_embedding(rng, taste),
    )


def _draw_topic(
    rng: np.random.Generator, law: Law, creators: Creators, author: NDArray[np.int32], late_topic: int
) -> NDArray[np.int16]:
    """80% one of the creator's topics, else any; a late topic takes its share of all."""
    own = np.where(rng.random(len(author)) < 0.5, creators.first_topic[author], creators.second_topic[author])
    topic = np.where(rng.random(len(author)) < law.own_topic_share, own, rng.integers(TOPICS, size=len(author)))
    late = (rng.random(len(author)) < LATE_TOPIC_SHARE) & (late_topic >= 0)
    return np.where(late, late_topic, topic).astype(np.int16)


def content_embedding(rng: np.random.Generator, taste: NDArray[np.float32]) -> NDArray[np.float32]:
    """z through a fixed random nonlinear map plus noise: [videos, 32]; a linear fit explains about half of z."""
    weights = np.random.default_rng(20_240_101).standard_normal((DIMENSIONS, EMBEDDING_DIMENSIONS)).astype(np.float32)
    noise = rng.standard_normal((len(taste), EMBEDDING_DIMENSIONS), np.float32)
    answer: NDArray[np.float32] = np.tanh(1.5 * taste @ weights) + np.float32(EMBEDDING_NOISE_SD) * noise
    return answer
