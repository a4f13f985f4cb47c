"""Ranks ahead for viewers who are watching: what a strong signal dropped is there again before it is asked for.

Viewers are taken newest page first, again and again, within a share of one core: a budget that work which nobody may
ever see can never pass.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field

from core.cache_keys import cache_key
from core.clock import Clock
from core.errors import Unavailable
from core.ports import Ranked

_log = logging.getLogger(__name__)

_SHARDS: Final = 16
_MOST: Final = 20_000


class AheadConfig(BaseModel):
    """For whom and at what cost."""

    model_config = ConfigDict(frozen=True)

    active_ms: int = Field(180_000, ge=1, description="age of a viewer's last page up to which we rank ahead, ms")
    share: float = Field(0.5, gt=0, le=1, description="most of one core's time")
    pause_s: float = Field(0.5, gt=0, description="between two rounds, seconds")


@dataclass(frozen=True, slots=True)
class Watching:
    """Who was served a page lately, in sets that replicas share."""

    ranked: Ranked
    clock: Clock

    async def note(self, viewer_id: str) -> None:
        """They were served one now. Unavailable."""
        key = _key(crc32(viewer_id.encode()) % _SHARDS)
        await self.ranked.add({key: {viewer_id: float(self.clock())}}, _MOST, 86_400_000)

    async def since(self, time_ms: int) -> list[str]:
        """Those who were since, newest first. Unavailable."""
        sets = await self.ranked.top([_key(shard) for shard in range(_SHARDS)], _MOST)
        found = sorted(((at, viewer) for members in sets for viewer, at in members if at >= time_ms), reverse=True)
        return [viewer for _, viewer in found]


@dataclass(frozen=True, slots=True)
class RankedAhead:
    """The worker; `prepare` ranks for a viewer and says whether that was needed, `cpu_s` is its own processor time."""

    prepare: Callable[[str], Awaitable[bool]]
    watching: Watching
    config: AheadConfig
    cpu_s: Callable[[], float] = time.thread_time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def round(self) -> int:
        """Once for everyone who watches; for how many there was something to rank."""
        ranked = 0
        for viewer_id in await self.watching.since(self.watching.clock() - self.config.active_ms):
            begun_s = self.cpu_s()
            ranked += await self.prepare(viewer_id)
            await self.sleep((self.cpu_s() - begun_s) * (1 / self.config.share - 1))
        return ranked

    async def run(self) -> None:
        """For ever; an outage is waited out."""
        while True:
            try:
                await self.round()
            except Unavailable as error:
                _log.warning("Nothing is ranked ahead for now: %s", error.sentence)
            await self.sleep(self.config.pause_s)


def _key(shard: int) -> str:
    return cache_key(f"watching.{shard}", "viewers")
