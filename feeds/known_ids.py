"""Recognises events that were acknowledged before, so that a client that sends again is told "duplicate".

Best effort and quick: what this misses, the stream processor drops exactly.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Final

from core.cache_keys import cache_key
from core.errors import CorruptData, Unavailable
from core.events import Event
from core.ports import Appended, Bytes, EventSink, Record

_TTL_MS: Final = 3_600_000


class RecognisingSink:
    """An EventSink that appends only events whose ids the cache does not know; `after` hears of the new ones.

    A cache that is late costs an append at most `deadline_ms` before the log and as much after it.
    """

    def __init__(
        self,
        sink: EventSink,
        cache: Bytes,
        after: Callable[[Sequence[Record]], Awaitable[None]],
        deadline_ms: int,
    ) -> None:
        self._sink, self._cache, self._after, self._deadline_s = sink, cache, after, deadline_ms / 1000
        self._late: set[asyncio.Task[None]] = set()

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Durable when it returns; the offset of a recognised event is 0. Raises Unavailable, StorageFull."""
        keys = [cache_key(event.viewer_id, f"event:{event.event_id}") for event in events]
        known = await self._known(keys)
        first = {key: at for at, key in reversed(list(enumerate(keys))) if key not in known}
        fresh = sorted(first.values())
        answer = [Appended(0, True) for _ in events]
        if fresh:
            for at, place in zip(fresh, await self._sink.append([events[at] for at in fresh]), strict=True):
                answer[at] = replace(place, duplicate=False)
            records = [Record(answer[at].offset, events[at]) for at in fresh]  # type: ignore[arg-type]
            await self._in_time(self._remember([keys[at] for at in fresh], records))
        return answer

    async def _known(self, keys: Sequence[str]) -> set[str]:
        try:
            found = await asyncio.wait_for(self._cache.get(keys), self._deadline_s)
        except (Unavailable, TimeoutError):
            return set()
        return {key for key, raw in zip(keys, found, strict=True) if raw is not None}

    async def _in_time(self, work: Coroutine[None, None, None]) -> None:
        """Wait for it until the deadline; it goes on after that, for a block that was reported must not be forgotten
        because the cache was slow."""
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)
        await asyncio.wait([task], timeout=self._deadline_s)
        if task.done():
            task.result()

    async def _remember(self, keys: Sequence[str], records: Sequence[Record]) -> None:
        """The events are durable and accepted, whatever becomes of this."""
        try:
            await self._cache.set(dict.fromkeys(keys, b""), _TTL_MS)
            await self._after(records)
        except (Unavailable, CorruptData):
            return
