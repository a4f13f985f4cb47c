"""The plain way's exploration: the same random numbers, one candidate and one place at a time."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol
from zlib import crc32

from core.query import Query
from features.layout import HOUR_MS
from feeds.config import ForYouConfig

WORD, SOURCE_SALT = (1 << 64) - 1, 0x6E6577


class Drawable(Protocol):
    """What is asked of a candidate."""

    thompson: float

    @property
    def author(self) -> int:
        """Their code."""
        ...


def mixed(word: int) -> int:
    """SplitMix64."""
    word = (word + 0x9E3779B97F4A7C15) & WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def uniform(seed: int, key: int) -> float:
    """A number in (0, 1)."""
    return ((mixed(mixed(seed) ^ key) >> 11) + 0.5) * 2.0**-53


def new_rows(rows: Sequence[int], query: Query, quota: int, gone: set[int]) -> list[int]:
    """Some of the new videos, each page others."""
    if not rows:
        return []
    picked = [int(uniform(query.seed ^ SOURCE_SALT, at) * len(rows)) for at in range(2 * quota)]
    return [rows[at] for at in dict.fromkeys(picked) if rows[at] not in gone][:quota]


def thompson(score: float, watches: float, video_id: str, now_ms: int, c: ForYouConfig) -> float:
    """A draw around the score that stands for an hour."""
    hour, key = now_ms // HOUR_MS, crc32(video_id.encode())
    radius = math.sqrt(-2.0 * math.log(uniform(hour, key)))
    normal = radius * math.cos(2.0 * math.pi * uniform(hour, WORD - key))
    return score + c.exploration_spread * normal / math.sqrt(1.0 + watches / c.exploration_watches)


def explored_page(
    page: list[Drawable], new: list[Drawable], query: Query, c: ForYouConfig, row: Callable[[Drawable], int]
) -> list[Drawable]:
    """The page with every so manieth place drawn from the new candidates that are not on it."""
    on_page, count = {row(candidate) for candidate in page}, dict[int, int]()
    for candidate in page:
        count[candidate.author] = count.get(candidate.author, 0) + 1
    pool: list[Drawable] = []
    for candidate in sorted((n for n in new if row(n) not in on_page), key=lambda n: -n.thompson):
        if candidate.author == 0 or count.get(candidate.author, 0) < c.author_cap:
            count[candidate.author] = count.get(candidate.author, 0) + 1
            pool.append(candidate)
    noisy = [
        (-candidate.thompson / c.exploration_temperature + math.log(-math.log(uniform(query.seed, at))), at)
        for at, candidate in enumerate(pool[: c.exploration_pool])
    ]
    drawn = iter([pool[at] for _, at in sorted(noisy)])
    others = iter(page)
    places = range(1, len(page) + 1)
    return [(next(drawn, None) if place % c.exploration_every == 0 else None) or next(others) for place in places]
