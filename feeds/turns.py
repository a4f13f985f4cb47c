"""One page of a viewer at a time, so that two requests for the same page are answered with the same slate."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from core.cache_keys import cache_key
from core.errors import Unavailable
from core.ports import Counters

_PAUSE_S: Final = 0.01
_MOST: Final = 10_000


class Turns(Protocol):
    """Whose turn it is."""

    def of(self, viewer_id: str) -> AbstractAsyncContextManager[None]:
        """A block in which no other request of this viewer is."""
        ...


@dataclass(frozen=True, slots=True)
class OwnTurns:
    """Among the requests of this process."""

    _locks: OrderedDict[str, asyncio.Lock] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def of(self, viewer_id: str) -> AsyncIterator[None]:
        """Wait for the viewer's other requests."""
        lock = self._locks.setdefault(viewer_id, asyncio.Lock())
        self._locks.move_to_end(viewer_id)
        if len(self._locks) > _MOST and not next(iter(self._locks.values())).locked():
            self._locks.popitem(last=False)
        async with lock:
            yield


@dataclass(frozen=True, slots=True)
class SharedTurns:
    """Among the processes that share a store of counters: whoever counts a short-lived key to one has it.

    Whoever waits longer than `wait_ms` goes on without, and so does everybody while the store is away: a page is worth
    more than that two tabs get the same one.
    """

    counters: Counters
    wait_ms: int
    held_ms: int = 2_000
    _own: OwnTurns = field(default_factory=OwnTurns)

    @asynccontextmanager
    async def of(self, viewer_id: str) -> AsyncIterator[None]:
        """Wait for the viewer's requests here and elsewhere."""
        key = cache_key(viewer_id, "turn")
        async with self._own.of(viewer_id):
            taken = await self._take(key)
            try:
                yield
            finally:
                if taken:
                    await self._give_back(key)

    async def _take(self, key: str) -> bool:
        try:
            async with asyncio.timeout(self.wait_ms / 1000):
                while (await self.counters.add({key: 1}, self.held_ms))[key] != 1:
                    await asyncio.sleep(_PAUSE_S)
                return True
        except (Unavailable, TimeoutError):
            return False

    async def _give_back(self, key: str) -> None:
        try:
            await asyncio.wait_for(self.counters.delete([key]), self.wait_ms / 1000)
        except (Unavailable, TimeoutError):
            return  # it ends by itself
