"""The logging policy: 50% regional popularity, 25% followed authors, 15% own topics, 10% uniform.

Each view is drawn from the mixture over all live videos until one comes that the viewer has not seen, so its
propensity is exactly mixture(v) / (1 - mixture(seen videos)). An arm that has nothing for a viewer gives its share
to the uniform arm. Popularity moves once an hour, by decayed views of at least half the video in the region.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulation.compiled import compiled
from simulation.law import REGIONS
from simulation.pair_set import contains, pair

ARMS = ("popular", "following", "topics", "uniform")
POPULAR, FOLLOWING, OWN_TOPICS, UNIFORM = range(4)
ARM_SHARES = (0.5, 0.25, 0.15, 0.1)
TOP_TOPICS = 3
HALF_LIFE_HOURS = 12.0
POPULARITY_POWER = 1.15  # chance in proportion to this power
PRIOR_WATCHED = 0.01  # views of each live video in each region, so that each can become popular


class Catalogue(NamedTuple):
    """Live videos in the orders that the arms draw from; fixed for an hour."""

    live: int
    running: NDArray[np.float64]  # [regions, live]: popularity, summed up to 1
    topic: NDArray[np.int16]  # public, [videos]
    topic_start: NDArray[np.int64]
    topic_videos: NDArray[np.int32]
    topic_live: NDArray[np.int64]
    author: NDArray[np.int32]
    author_start: NDArray[np.int64]
    author_videos: NDArray[np.int32]
    author_live: NDArray[np.int64]


class Following(NamedTuple):
    """Whom each viewer follows: the graph of the day's start, later follows, and a set for look-ups."""

    start: NDArray[np.int64]
    author: NDArray[np.int32]
    later_count: NDArray[np.int32]  # [viewers]
    later_last: NDArray[np.int64]  # [viewers]: row of the newest later follow, -1 for none
    later_author: NDArray[np.int32]
    later_previous: NDArray[np.int64]
    pairs: NDArray[np.int64]  # set of pair(viewer, author)


def list_by(owner: NDArray[np.int16] | NDArray[np.int32], owners: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Offsets [owners + 1] and the rows of each owner, ascending."""
    order = np.argsort(owner, kind="stable").astype(np.int32)
    return np.searchsorted(owner[order], np.arange(owners + 1)).astype(np.int64), order


def running_popularity(watched: NDArray[np.float64], live: int) -> NDArray[np.float64]:
    """Cumulative chance of each live video in each region's popularity arm: [regions, live]."""
    weights = (watched[:, :live] + PRIOR_WATCHED) ** POPULARITY_POWER
    running = np.cumsum(weights, axis=1)
    answer: NDArray[np.float64] = running / running[:, -1:]
    return answer


def decayed(watched: NDArray[np.float64], videos: int) -> NDArray[np.float64]:
    """Counts [regions, videos] an hour later, with room for new videos."""
    grown = np.zeros((REGIONS, videos))
    grown[:, : watched.shape[1]] = watched * 0.5 ** (1.0 / HALF_LIFE_HOURS)
    return grown


@compiled
def top_topics(long_views: NDArray[np.float32], found: NDArray[np.int16]) -> int:
    """The up to three topics with the most long views of a viewer, written to `found`; how many."""
    count = 0
    for place in range(TOP_TOPICS):
        best, most = -1, np.float32(0.0)
        for topic in range(len(long_views)):
            taken = False
            for earlier in range(place):
                taken = taken or found[earlier] == topic
            if not taken and long_views[topic] > most:
                best, most = topic, long_views[topic]
        if best < 0:
            break
        found[place] = best
        count += 1
    return count


@compiled
def followed_count(following: Following, u: int) -> int:
    """Authors that the viewer follows."""
    return int(following.start[u + 1] - following.start[u] + following.later_count[u])


@compiled
def _followed(following: Following, u: int, rank: int) -> int:
    """The author at a rank among those that the viewer follows."""
    early = following.start[u + 1] - following.start[u]
    if rank < early:
        return int(following.author[following.start[u] + rank])
    row = following.later_last[u]
    for _ in range(rank - early):
        row = following.later_previous[row]
    return int(following.later_author[row])


@compiled
def draw(
    catalogue: Catalogue,
    following: Following,
    u: int,
    region: int,
    topics: NDArray[np.int16],
    count: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """One draw of the mixture for the viewer, whose top topics are topics[:count]: the video and its arm."""
    arm_point, point, second = rng.random(), rng.random(), rng.random()
    if arm_point < ARM_SHARES[0]:
        found = np.searchsorted(catalogue.running[region], point, side="right")
        return min(int(found), catalogue.live - 1), POPULAR
    followed = followed_count(following, u)
    if arm_point < ARM_SHARES[0] + ARM_SHARES[1] and followed > 0:
        author = _followed(following, u, int(point * followed))
        row = catalogue.author_start[author] + int(second * catalogue.author_live[author])
        return catalogue.author_videos[row], FOLLOWING
    own = arm_point >= ARM_SHARES[0] + ARM_SHARES[1] and arm_point < 1.0 - ARM_SHARES[3]
    if own and count > 0:
        topic = topics[int(point * count)]
        row = catalogue.topic_start[topic] + int(second * catalogue.topic_live[topic])
        return catalogue.topic_videos[row], OWN_TOPICS
    return int(point * catalogue.live), UNIFORM


@compiled
def mixture_chance(
    catalogue: Catalogue, following: Following, u: int, region: int, topics: NDArray[np.int16], count: int, v: int
) -> float:
    """Chance that the mixture draws the live video `v` for the viewer."""
    below = catalogue.running[region, v - 1] if v > 0 else 0.0
    chance = ARM_SHARES[0] * (catalogue.running[region, v] - below)
    uniform = ARM_SHARES[3]
    followed = followed_count(following, u)
    author = catalogue.author[v]
    if followed == 0:
        uniform += ARM_SHARES[1]
    elif contains(following.pairs, pair(u, author)):
        chance += ARM_SHARES[1] / (followed * catalogue.author_live[author])
    if count == 0:
        uniform += ARM_SHARES[2]
    for place in range(count):
        if topics[place] == catalogue.topic[v]:
            chance += ARM_SHARES[2] / (count * catalogue.topic_live[topics[place]])
    return float(chance + uniform / catalogue.live)
