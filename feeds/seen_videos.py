"""What a viewer has seen: exactly for the last days, in a Bloom filter for each month before, and forgotten after that.

A filter holds what was seen up to a moment that no event can lie before any more, so it is a pure function of the
history: it is made of it wherever the cache does not have it, and two processes that write it write the same.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Int32
from core.cache_keys import cache_key
from core.clock import Clock
from core.errors import Unavailable
from core.ports import Bytes, HistoryStore
from core.video_table import VideoTable
from features.layout import DAY_MS
from feeds.bloom import Bloom, hashes_of

_EVER_MS: Final = 1 << 53
_MOST_VIEWERS: Final = 10_000
_IN_A_THREAD: Final = 50_000  # videos: four filters over a million take 70 ms of a core


class SeenConfig(BaseModel):
    """How long what was seen stays away."""

    model_config = ConfigDict(frozen=True)

    again_ms: int = Field(90 * DAY_MS, ge=0, description="how long a seen video stays away at least, milliseconds")
    exact_ms: int = Field(8 * DAY_MS, ge=0, description="age up to which each is known, ms; no event may be older")
    month_ms: int = Field(30 * DAY_MS, ge=1, description="span of one filter of older ones, milliseconds")
    false_positives: float = Field(
        0.01, gt=0, lt=1, description="share of the videos never seen that all filters together take for seen"
    )


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A month's filter in the cache: what was seen before `until_ms`."""

    until_ms: int
    members: int
    room: int
    places: int
    bits: bytes


@dataclass(frozen=True, slots=True)
class Month:
    """Its filter has the `members` videos that were seen from the month's beginning up to `until_ms`, and `room` for so
    many."""

    until_ms: int
    members: int
    room: int
    bloom: Bloom


@dataclass(slots=True)
class _Known:
    """A viewer's months by number, and the rows of the catalogue's first `checked` that they have."""

    months: dict[int, Month] = field(default_factory=dict)
    checked: int = 0
    rows: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))


@dataclass(frozen=True, slots=True)
class Seen:
    """`recent`: ids, oldest first; `rows`: of the catalogue, all that was seen before, and a few that were not."""

    recent: list[str]
    rows: Int32


NOTHING_SEEN: Final = Seen([], np.zeros(0, np.int32))


@dataclass(slots=True)
class SeenVideos:
    """Reads it; the cache is waited for `deadline_ms`, after which the history must do. `looked_up` is told whether all
    filters that a reading needed were at hand or in the cache."""

    history: HistoryStore
    cache: Bytes
    table: VideoTable
    clock: Clock
    config: SeenConfig
    later: Callable[[Awaitable[None]], None]
    looked_up: Callable[[bool], None] = lambda found: None
    deadline_ms: int = 50
    _known: OrderedDict[str, _Known] = field(default_factory=OrderedDict)
    _hashes: Array = field(default_factory=lambda: np.zeros(0, np.uint64))

    async def read(self, viewer_id: str) -> Seen:
        """What must not come again yet. Unavailable when the history does not answer."""
        c, now_ms = self.config, self.clock()
        settled_ms = (now_ms - c.exact_ms) // DAY_MS * DAY_MS
        recent = await self.history.seen_between(viewer_id, settled_ms, _EVER_MS)
        known = self._known.get(viewer_id) or _Known()
        months = await self._months(viewer_id, known.months, now_ms - c.again_ms, settled_ms)
        if months.keys() != known.months.keys() or any(months[at] is not known.months[at] for at in months):
            known = _Known(months)
        self._remember(viewer_id, known)
        if len(self.table) - known.checked > _IN_A_THREAD:
            return Seen(recent, await asyncio.to_thread(self._rows, known))
        return Seen(recent, self._rows(known))

    def hash_catalogue(self) -> None:
        """Hash what the catalogue has: a second for a million videos, which no request should wait for."""
        hashes = self._hashes  # a thread may replace it meanwhile
        self._hashes = np.concatenate([hashes, hashes_of(self.table.video_ids[len(hashes) :])])

    async def _months(self, viewer_id: str, known: dict[int, Month], from_ms: int, until_ms: int) -> dict[int, Month]:
        """The filters of the months that touch an interval, whole up to its end."""
        length_ms = self.config.month_ms
        ends = {
            at: min((at + 1) * length_ms, until_ms) for at in range(from_ms // length_ms, -(-until_ms // length_ms))
        }
        months = {at: known[at] for at in ends if at in known}
        missing = [at for at, end_ms in ends.items() if at not in months or months[at].until_ms < end_ms]
        if missing:
            months |= await self._cached(viewer_id, missing)
        news = {at: await self._until(viewer_id, at, months.get(at), ends[at]) for at in missing}
        news = {at: month for at, month in news.items() if month is not months.get(at)}
        self.looked_up(not news)
        if news:
            self.later(self._keep(viewer_id, news))
        return {at: news.get(at) or months[at] for at in ends}

    async def _until(self, viewer_id: str, at: int, month: Month | None, end_ms: int) -> Month:
        """The filter of a month up to a moment, made of the history as far as it was not known."""
        if month is not None and month.until_ms >= end_ms:
            return month
        if month is not None:
            added = await self.history.seen_between(viewer_id, month.until_ms, end_ms)
            if month.members + len(added) <= month.room:
                bloom = month.bloom.with_members(hashes_of(added)) if added else month.bloom
                return replace(month, until_ms=end_ms, members=month.members + len(added), bloom=bloom)
        begin_ms = at * self.config.month_ms
        seen = await self.history.seen_between(viewer_id, begin_ms, end_ms)
        over = end_ms == begin_ms + self.config.month_ms
        room = len(seen) if over else 2 * len(seen)
        bloom = Bloom.sized(room, self._share()).with_members(hashes_of(seen))
        return Month(end_ms, len(seen), room, bloom)

    def _share(self) -> float:
        """False positives of one filter, so that all of them together have no more than they may."""
        months = -(-self.config.again_ms // self.config.month_ms) + 1
        return float(1 - (1 - self.config.false_positives) ** (1 / months))

    async def _cached(self, viewer_id: str, numbers: list[int]) -> dict[int, Month]:
        keys = [_key(viewer_id, at) for at in numbers]
        try:
            raws = await asyncio.wait_for(self.cache.get(keys), self.deadline_ms / 1000)
        except (Unavailable, TimeoutError):
            return {}
        found = {at: _month_in(raw) for at, raw in zip(numbers, raws, strict=True)}
        return {at: month for at, month in found.items() if month is not None}

    async def _keep(self, viewer_id: str, months: dict[int, Month]) -> None:
        raws = {_key(viewer_id, at): _month_out(month) for at, month in months.items()}
        await self.cache.set(raws, self.config.again_ms + 2 * self.config.month_ms)

    def _remember(self, viewer_id: str, known: _Known) -> None:
        self._known[viewer_id] = known
        self._known.move_to_end(viewer_id)
        while len(self._known) > _MOST_VIEWERS:
            self._known.popitem(last=False)

    def _rows(self, known: _Known) -> Int32:
        """The catalogue is asked once whole, and then as it grows."""
        end = len(self.table)
        blooms = [month.bloom for month in known.months.values() if month.members]
        if blooms and known.checked < end:
            self.hash_catalogue()
            asked = self._hashes[known.checked : end]
            found = np.any([bloom.has(asked) for bloom in blooms], axis=0)
            known.rows = np.concatenate([known.rows, (np.flatnonzero(found) + known.checked).astype(np.int32)])
        known.checked = end
        return known.rows


def _key(viewer_id: str, month: int) -> str:
    return cache_key(viewer_id, f"seen:{month}")


def _month_out(month: Month) -> bytes:
    places, bits = month.bloom.places, month.bloom.bits.tobytes()
    return msgspec.msgpack.encode(_Kept(month.until_ms, month.members, month.room, places, bits))


def _month_in(raw: bytes | None) -> Month | None:
    """None where there is none, or nothing that we wrote: then it is made of the history."""
    try:
        kept = msgspec.msgpack.decode(raw, type=_Kept) if raw is not None else None
    except msgspec.DecodeError:
        return None
    if kept is None or len(kept.bits) % 8:
        return None
    return Month(kept.until_ms, kept.members, kept.room, Bloom(np.frombuffer(kept.bits, np.uint64), kept.places))
