"""Trending's counts on a cluster: each partition's worker publishes its own, and replicas put them together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from core.cache_keys import cache_key
from core.errors import CorruptData, Unavailable
from core.ports import Bytes
from feeds.trending.counts import Counts, decode_counts, encode_counts, merged

_log = logging.getLogger(__name__)
_OWNER: Final = "trending.counts"
_TTL_MS: Final = 24 * 3_600_000  # a worker that is away for longer leaves no counts that anybody should see


async def publish(cache: Bytes, partition: int, counts: Mapping[str, Counts]) -> None:
    """The counts of a partition, by window."""
    encoded = await asyncio.to_thread(lambda: {window: encode_counts(part) for window, part in counts.items()})
    await cache.set({_key(partition, window): raw for window, raw in encoded.items()}, _TTL_MS)


class PublishedTrends:
    """Reads what all partitions published; while the cache is away, what was last read of it."""

    def __init__(self, cache: Bytes, partitions: Callable[[], Awaitable[int]], within_s: float) -> None:
        self._cache, self._partitions, self._within_s = cache, partitions, within_s
        self._count = 0
        self._last: dict[str, Counts] = {}

    async def read(self, window: str, hour: int) -> tuple[Counts, bool]:
        """The counts of a window as they were last published, and whether every partition's are there."""
        try:
            raws = await asyncio.wait_for(self._raws(window), self._within_s)
            self._last[window], whole = await asyncio.to_thread(_read, window, raws)
        except (Unavailable, TimeoutError):
            whole = False
        return self._last.get(window, merged([], _width(window))), whole

    async def start(self) -> None:
        """Nothing runs beside it."""

    async def stop(self) -> None:
        """Nothing runs beside it."""

    async def _raws(self, window: str) -> list[bytes | None]:
        if not self._count:
            self._count = await self._partitions()
        return await self._cache.get([_key(number, window) for number in range(self._count)])


def _read(window: str, raws: list[bytes | None]) -> tuple[Counts, bool]:
    parts, whole = list[Counts](), True
    for raw in raws:
        try:
            if raw is not None:
                parts.append(decode_counts(raw))
                continue
        except CorruptData as error:
            _log.warning("A board goes without one partition: %s", error.sentence)
        whole = False
    return merged(parts, _width(window)), whole


def _width(window: str) -> int:
    return 1 if window == "points" else 3


def _key(partition: int, window: str) -> str:
    return cache_key(f"{_OWNER}.{partition}", window)
