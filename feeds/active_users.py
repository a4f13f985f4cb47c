"""Who is active: a bitmap for each date over the numbers of users, set anew every hour from the viewers' rows.

Within a date bits are only added. Bit 0 belongs to nobody and says that the map is there: one that was lost has nobody
until the next refresh makes another, under another name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.clock import Clock
from core.fanout import ActiveLedger, FanoutLedger
from core.ports import Bitmaps
from features.decay import decayed
from features.layout import COMMENTS, DAY_MS, LIKES, SHARES, STEPS, UNIT, VIEWER_DTYPE, VIEWER_HALF_LIVES
from features.packed import records_of

_MAP_TTL_MS: Final = 3 * DAY_MS
_PART: Final = 5_000
_HALF_LIFE: Final = "30d"


class ActiveConfig(BaseModel):
    """When a viewer counts as active."""

    model_config = ConfigDict(frozen=True)

    opened_ms: int = Field(7 * DAY_MS, ge=0, description="their last event is at most so old, milliseconds")
    watched_ms: int = Field(3 * DAY_MS, ge=0, description="their last watch is at most so old, milliseconds")
    engagement_over: float = Field(5, ge=0, description="likes, comments and shares, halved every 30 days, are more")
    every_ms: int = Field(3_600_000, ge=1, description="time between two refreshes, milliseconds")


@dataclass(frozen=True, slots=True)
class ActiveUsers:
    """The map that holds, and its refresh; `new_name` gives a word that was never used."""

    bitmaps: Bitmaps
    rules: FanoutLedger
    ledger: ActiveLedger
    clock: Clock
    new_name: Callable[[], str]
    config: ActiveConfig

    async def among(self, viewers: Sequence[str]) -> list[bool]:
        """Which of the viewers are active; nobody where there is no map."""
        name = (await self.rules.rules([])).active
        return await self._in(name, viewers)

    async def one(self, name: str, viewer_id: str) -> bool:
        """Whether the map of this name has the viewer."""
        return (await self._in(name, [viewer_id]))[0]

    async def due(self) -> bool:
        """Whether it is for us to refresh the map now."""
        return await self.ledger.turn(self.config.every_ms)

    async def refresh(self, viewers: Sequence[str]) -> None:
        """Add these active viewers to the map of the date; a new date begins with them alone."""
        date = datetime.fromtimestamp(self.clock() / 1000, UTC).date().isoformat()
        name = (await self.rules.rules([])).active
        there = _date(name) == date and (await self.bitmaps.test(_key(name), [0]))[0]
        if not there and _date(name) == date:
            await self.ledger.point(name, "")  # before its bits are set anew: who trusts it must not
            name = ""
        if not there:
            await self.bitmaps.delete([_key(date)])
        for start in range(0, max(len(viewers), 1), _PART):
            numbers = await self.ledger.numbers(viewers[start : start + _PART], make=True)
            await self.bitmaps.mark({_key(date): [0, *numbers]}, _MAP_TTL_MS)
        if not there:
            await self.ledger.point(name, f"{date}/{self.new_name()}")

    async def _in(self, name: str, viewers: Sequence[str]) -> list[bool]:
        if not name or not viewers:
            return [False] * len(viewers)
        numbers = await self.ledger.numbers(viewers, make=False)
        there, *bits = await self.bitmaps.test(_key(name), [0, *numbers])
        if not there:
            await self.ledger.point(name, "")
        return [there and bit and number > 0 for bit, number in zip(bits, numbers, strict=True)]

    def chosen(self, rows: Sequence[tuple[str, bytes]]) -> list[str]:
        """The active among viewers with these packed rows. CorruptData, SchemaMismatch for rows that are none."""
        found: list[str] = []
        for start in range(0, len(rows), _PART):
            part = rows[start : start + _PART]
            records = records_of([raw for _, raw in part], VIEWER_DTYPE)
            found += [viewer for (viewer, _), record in zip(part, records, strict=True) if self._active(record)]
        return found

    def _active(self, record: np.void) -> bool:
        now, config = self.clock(), self.config
        if now - record["session"][1] > config.opened_ms or now - record["history_time_ms"].max() > config.watched_ms:
            return False
        slot = list(VIEWER_HALF_LIVES).index(_HALF_LIFE)
        steps = now // (VIEWER_HALF_LIVES[_HALF_LIFE] // STEPS) - int(record["steps"][slot])
        engaged = sum(decayed(int(record["counts"][slot][action]), steps) for action in (LIKES, COMMENTS, SHARES))
        return bool(engaged > config.engagement_over * UNIT)


def _date(name: str) -> str:
    return name.partition("/")[0]


def _key(name: str) -> str:
    return f"active_users:{{{_date(name)}}}"
