"""Boards for a minute: each is made once, by whoever asks first, and the replicas of a cluster share it."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import msgspec

from core.cache_keys import cache_key
from core.clock import Clock
from core.errors import Unavailable
from core.ports import Bytes
from core.trends import HOUR_MS
from core.video_table import VideoTable
from feeds.trending.board import Board, BoardKey, make_board
from feeds.trending.config import TrendingConfig
from feeds.trending.counts import Counts

T = TypeVar("T")
_MOST: Final = 1_000  # boards at hand: regions and categories are what callers write
_decode = msgspec.msgpack.Decoder(Board).decode


class CountsSource(Protocol):
    """Where a process reads the counts from."""

    async def read(self, window: str, hour: int) -> tuple[Counts, bool]:
        """The counts of a window that ends with `hour`, as far as they are known, and whether that is all of them."""
        ...

    async def start(self) -> None:
        """Begin what keeps them up to date beside the requests, in the loop that serves."""
        ...

    async def stop(self) -> None:
        """End that."""
        ...


@dataclass(frozen=True, slots=True)
class MadeBoard:
    """A board, and whether everything had been counted when it was made."""

    board: Board
    whole: bool


class _Once:
    """Values by key that are made once while others wait; the oldest go when there are more than `most`."""

    def __init__(self, most: int) -> None:
        self._most, self._tasks = most, dict[Any, asyncio.Task[Any]]()

    async def get(self, key: Any, make: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T, bool]:
        """The value, and whether it was there; one that could not be made is tried again by the next who asks."""
        task = self._tasks.get(key)
        if task is not None:
            return task.result() if task.done() else await asyncio.shield(task), True
        task = self._tasks[key] = asyncio.ensure_future(make())
        task.add_done_callback(lambda done: self._drop_failed(key, done))
        while len(self._tasks) > self._most:
            del self._tasks[next(iter(self._tasks))]
        # Whoever gives up waiting does not take it from the others.
        return await asyncio.shield(task), False

    def _drop_failed(self, key: Any, task: "asyncio.Task[Any]") -> None:
        if (task.cancelled() or task.exception() is not None) and self._tasks.get(key) is task:
            del self._tasks[key]


@dataclass(slots=True)
class Boards:
    """The boards of a process; `shared` is what replicas share, None where there is one process.

    `looked_up` is told of each look whether the board was there.
    """

    source: CountsSource
    table: VideoTable
    shared: Bytes | None
    clock: Clock
    config: TrendingConfig
    looked_up: Callable[[bool], None] = lambda hit: None
    _made: _Once = field(default_factory=lambda: _Once(_MOST))
    _counts: _Once = field(default_factory=lambda: _Once(4))

    async def get(self, key: BoardKey, at_ms: int | None = None) -> MadeBoard:
        """The board of now, or where it is still kept that of an earlier moment."""
        now_ms = self._turn(self.clock())
        if at_ms is not None and 0 <= now_ms - at_ms <= self.config.kept_ms:
            now_ms = self._turn(at_ms)
        made, hit = await self._made.get((key, now_ms), lambda: self._make(key, now_ms))
        self.looked_up(hit)
        return made

    def _turn(self, now_ms: int) -> int:
        """When the board of this moment is made: every process says the same."""
        return now_ms - now_ms % self.config.board_ms

    async def _make(self, key: BoardKey, now_ms: int) -> MadeBoard:
        name = cache_key(f"trending:{key.region}", json.dumps([key.mode, key.time_range, key.category, now_ms]))
        if (known := await self._known(name)) is not None:
            return MadeBoard(known, True)
        window, hour = key.window, now_ms // HOUR_MS
        (counts, whole), _ = await self._counts.get(
            (window, self._turn(self.clock())), lambda: self.source.read(window, hour)
        )
        board = await asyncio.to_thread(make_board, key, counts, self.table, now_ms, self.config)
        if whole and board.video_ids:
            await self._share(name, board)
        return MadeBoard(board, whole)

    async def _known(self, name: str) -> Board | None:
        """The board that another replica made."""
        try:
            raw = (await self.shared.get([name]))[0] if self.shared is not None else None
            return _decode(raw) if raw is not None else None
        except (Unavailable, msgspec.DecodeError):
            return None

    async def _share(self, name: str, board: Board) -> None:
        try:
            if self.shared is not None:
                await self.shared.set({name: msgspec.msgpack.encode(board)}, self.config.kept_ms)
        except Unavailable:
            return  # others make it themselves
