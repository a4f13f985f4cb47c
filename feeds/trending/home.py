"""Trending in one process: its counts follow the log of the home, beside everything else."""

import asyncio
import logging
from typing import Final

from core.clock import Clock
from core.errors import Unavailable
from core.ports import EventLog, Record, Tables
from core.trends import HOUR_MS, TrendState
from features.stream.lane import unhurried
from feeds.trending.config import LONGEST, TrendingConfig
from feeds.trending.counting import TrendCounting
from feeds.trending.counts import Counts, read_counts

_log = logging.getLogger(__name__)
_BATCH: Final = 2_000
_SWEEP_SHARE: Final = 1 / 24
_EVERY_S: Final = 1.0


class HomeTrends:
    """Counts the log in a thread, a micro-batch at a time; the log gives each event once."""

    def __init__(self, log: EventLog, tables: Tables, state: TrendState, clock: Clock, config: TrendingConfig) -> None:
        self._log, self._tables, self._clock, self._config = log, tables, clock, config
        self._counting = TrendCounting(state, config)
        self._advancing: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._swept = 0

    async def read(self, window: str, hour: int) -> tuple[Counts, bool]:
        """The counts of a window that ends with `hour`, and whether the end of the log was reached in time."""
        whole = await self._reached()
        return await asyncio.to_thread(read_counts, self._counting.state, window, hour), whole

    async def start(self) -> None:
        """Follow the log from now on, so that nobody has to wait for it."""
        self._following = asyncio.ensure_future(self._follow())
        self._following.add_done_callback(_tell_of)

    async def stop(self) -> None:
        """End what is under way, after its micro-batch."""
        for task in (self._following, self._advancing):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                await self.advance()
            except Unavailable as error:
                _log.warning("Trending is not counted now: %s", error.sentence)
            await asyncio.sleep(_EVERY_S)

    async def advance(self) -> None:
        """Count what the log has; who asks meanwhile waits for the same."""
        if self._advancing is None or self._advancing.done():
            self._advancing = asyncio.ensure_future(self._advance())
        await asyncio.shield(self._advancing)

    async def _reached(self) -> bool:
        try:
            await asyncio.wait_for(self.advance(), self._config.counts_s)
        except (TimeoutError, Unavailable):
            return False
        return True

    async def _advance(self) -> None:
        state, done = self._counting.state, -1
        while True:
            done = max(done, state.position())
            records = await self._log.read(done, _BATCH)
            hour = self._clock() // HOUR_MS
            if records:
                regions = await self._regions(records)
                done = records[-1].offset
                await unhurried(asyncio.to_thread(self._counting.apply, records, regions, hour - LONGEST, done))
            elif hour > self._swept:
                self._swept = hour
                await unhurried(asyncio.to_thread(state.forget, hour - LONGEST, _SWEEP_SHARE))
            if len(records) < _BATCH:
                return

    async def _regions(self, records: list[Record]) -> dict[str, str]:
        """The regions of viewers whose events do not say it."""
        viewers = list({r.event.viewer_id for r in records if not r.event.viewer_region})
        users = await self._tables.users(viewers)
        return {viewer: user.region for viewer, user in zip(viewers, users, strict=True) if user is not None}


def _tell_of(task: "asyncio.Task[None]") -> None:
    """It never ends by itself; where it did, boards stand still and say so, and everything else goes on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("The counting of Trending has ended", exc_info=error)
