"""Who follows whom at the start: preferential attachment, weighted by taste."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.law import TOPICS, Law
from simulation.videos import Creators
from simulation.viewers import Viewers

BY_TOPIC_SHARE = 0.7
VIEWERS_AT_ONCE = 20_000
OVERDRAW = 1.7


@dataclass(frozen=True)
class Follows:
    """Edges viewer -> author with their times, sorted by viewer."""

    viewer: NDArray[np.int32]
    author: NDArray[np.int32]
    time_ms: NDArray[np.int64]

    def starts(self, viewers: int) -> NDArray[np.int64]:
        """Offsets [viewers + 1] of each viewer's edges."""
        return np.searchsorted(self.viewer, np.arange(viewers + 1)).astype(np.int64)

    def joined(self, viewer: NDArray[np.int32], author: NDArray[np.int32], time_ms: NDArray[np.int64]) -> "Follows":
        """These and more edges, sorted by viewer again."""
        viewers = np.concatenate([self.viewer, viewer])
        order = np.argsort(viewers, kind="stable")
        return Follows(
            viewers[order], np.concatenate([self.author, author])[order], np.concatenate([self.time_ms, time_ms])[order]
        )


@dataclass(frozen=True)
class _Fame:
    """Creators by topic with running fame, so that one search draws a creator."""

    creator: NDArray[np.int64]
    running: NDArray[np.float64]
    topic_start: NDArray[np.int64]

    def draw(self, rng: np.random.Generator, topic: NDArray[np.int16]) -> NDArray[np.int64]:
        """A creator of each topic (any topic where negative), with chance in proportion to fame."""
        low = np.where(topic < 0, 0, self.topic_start[topic])
        high = np.where(topic < 0, len(self.creator), self.topic_start[topic + 1])
        before = np.where(low > 0, self.running[low - 1], 0.0)
        point = before + rng.random(len(topic)) * (self.running[high - 1] - before)
        found = np.searchsorted(self.running, point, side="right")
        answer: NDArray[np.int64] = self.creator[np.clip(found, low, high - 1)]
        return answer


def _index_fame(creators: Creators, has_video: NDArray[np.bool_], cap: float) -> _Fame:
    """Creators with videos, listed under each of their topics."""
    one = np.flatnonzero(has_video)
    two = one[creators.first_topic[one] != creators.second_topic[one]]
    creator = np.concatenate([one, two])
    topic = np.concatenate([creators.first_topic[one], creators.second_topic[two]])
    order = np.argsort(topic, kind="stable")
    running = np.cumsum(np.minimum(creators.fame[creator[order]], cap))
    return _Fame(creator[order], running, np.searchsorted(topic[order], np.arange(TOPICS + 1)).astype(np.int64))


def draw_follows(
    rng: np.random.Generator,
    law: Law,
    viewers: Viewers,
    creators: Creators,
    has_video: NDArray[np.bool_],
    start_ms: int,
) -> Follows:
    """The initial graph; nobody has more followers than the law's share of all viewers."""
    cap = max(1, int(law.follower_cap_share * len(viewers)))
    fame = _index_fame(creators, has_video, cap)
    wanted = np.round(rng.lognormal(np.log(law.follows_median), law.follows_log_sd, len(viewers))).astype(np.int64)
    wanted = np.minimum(wanted, int(has_video.sum()) // 4)
    parts = [
        _draw_some(rng, viewers, creators, fame, np.arange(low, min(low + VIEWERS_AT_ONCE, len(viewers))), wanted)
        for low in range(0, len(viewers), VIEWERS_AT_ONCE)
    ]
    edges = np.concatenate(parts)
    viewer, author = np.divmod(edges, len(creators))
    kept = _within_cap(rng, author, cap)
    viewer, author = viewer[kept], author[kept]
    since = viewers.signup_ms[viewer]
    time_ms = since + (rng.random(len(viewer)) * (start_ms - since)).astype(np.int64)
    return Follows(viewer.astype(np.int32), author.astype(np.int32), time_ms)


def _draw_some(
    rng: np.random.Generator,
    viewers: Viewers,
    creators: Creators,
    fame: _Fame,
    some: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Edges of some viewers as sorted keys viewer * creators + author."""
    slots = np.repeat(some, np.ceil(OVERDRAW * wanted[some]).astype(np.int64) + 2)
    point = rng.random(len(slots))[:, None]
    interest = (np.cumsum(viewers.weights[slots], axis=1) < point).sum(axis=1)
    topic = viewers.interests[slots, np.minimum(interest, viewers.interests.shape[1] - 1)]
    topic = np.where(rng.random(len(slots)) < BY_TOPIC_SHARE, topic, -1)
    author = fame.draw(rng, topic)
    foreign = np.flatnonzero((viewers.spoken[slots] >> creators.language[author]) & 1 == 0)
    for _ in range(3):
        author[foreign] = fame.draw(rng, topic[foreign])
        foreign = foreign[(viewers.spoken[slots[foreign]] >> creators.language[author[foreign]]) & 1 == 0]
    keys = np.unique(slots * len(creators) + author)
    keys = keys[np.lexsort((rng.random(len(keys)), keys // len(creators)))]
    owner = keys // len(creators)
    rank = np.arange(len(keys)) - np.searchsorted(owner, owner)
    return np.sort(keys[rank < wanted[owner]])


def _within_cap(rng: np.random.Generator, author: NDArray[np.int64], cap: int) -> NDArray[np.int64]:
    """Row numbers of at most `cap` random edges for each author, ascending."""
    order = np.lexsort((rng.random(len(author)), author))
    ordered = author[order]
    rank = np.arange(len(author)) - np.searchsorted(ordered, ordered)
    return np.sort(order[rank < cap])
