"""Slates of a cluster: durable on the replica's own disk before the answer, seen by its siblings through the cache,
and shipped to the log, from which training learns.

An outage of the cache or of the log therefore delays what others see, never the answer, and loses no slate. A cache
that lost what it had is shown the slates of the last two hours again, and who asks meanwhile waits for that.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from core.cache_keys import cache_key
from core.clock import Clock
from core.errors import Unavailable
from core.log import MAX_MESSAGE_BYTES, Message, MessageLog
from core.ports import Bytes, Ranked, SlateStore
from core.slate import Slate, SlateDetail, decode_slate, encode_slate
from core.topics import SLATES
from feeds.cache_roll import CacheRoll

_log = logging.getLogger(__name__)

_TTL_MS: Final = 86_400_000
_MOST: Final = 200
_SHIP: Final = 200
_DETAIL_WAIT_MS: Final = 5_000
_MOST_LATE: Final = 10_000
_SETTLE_MS: Final = 5_000
_RECENT_MS: Final = 2 * 3_600_000
_PAUSE_S: Final = 0.01
_UNREADABLE: Final = "The slates of other replicas cannot be read: the cache does not answer; try again."


class SlateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One slate on the log; `served` holds its feature rows and is empty where the process died before it kept them."""

    slate: bytes
    served: bytes = b""
    full: bytes = b""
    schema: int = 1

    @property
    def record(self) -> Slate:
        """The slate."""
        return decode_slate(self.slate)


class OwnSlatesAlone(Unavailable):
    """The slates of other replicas cannot be read; `slates` are ours, newest first."""

    def __init__(self, slates: list[Slate]) -> None:
        super().__init__(_UNREADABLE)
        self.slates = slates


class SlateOutbox(Protocol):
    """The slates of this replica that are not on the log yet."""

    async def waiting(self, limit: int, undetailed_before_ms: int) -> list[tuple[Slate, SlateDetail | None]]:
        """Oldest first; one without its detail only when it was served before this moment."""
        ...

    async def shipped(self, slate_ids: list[str]) -> None:
        """These are on the log."""
        ...


class OwnSlates(SlateStore, Protocol):
    """The slates on the disk of this replica."""

    async def recent(self, since_ms: int) -> list[Slate]:
        """Those served since, newest first."""
        ...


class SharedSlates:
    """A SlateStore over the replica's own store and the cache; what the cache missed, or has lost, it is told when it
    answers. `name` is this replica's among those that live."""

    def __init__(
        self, own: OwnSlates, ranked: Ranked, cache: Bytes, deadline_ms: int, clock: Clock, name: str = ""
    ) -> None:
        self._own, self._ranked, self._cache = own, ranked, cache
        self._deadline_s, self._clock = deadline_ms / 1000, clock
        self._roll = CacheRoll(cache, ranked, name or secrets.token_hex(8), clock)
        self._late: dict[str, Slate] = {}
        self._whole_ms = 0

    async def append(self, slate: Slate) -> None:
        """Durable here when it returns; shown to the siblings where the cache answers in time."""
        await self._own.append(slate)
        try:
            await asyncio.wait_for(self._show([slate]), self._deadline_s)
        except (Unavailable, TimeoutError):
            _log.warning("A slate is kept on this replica alone for now: the cache does not answer.")
            self._away()
            self._late[slate.slate_id] = slate
            if len(self._late) > _MOST_LATE:
                del self._late[next(iter(self._late))]

    async def run(self, every_s: float = 0.5) -> None:
        """Show for ever what the cache missed."""
        while True:
            late = list(self._late.values())[:_SHIP]
            try:
                await self.watch()
                await self._show(late)
                for slate in late:
                    self._late.pop(slate.slate_id, None)
            except Unavailable:
                self._away()
            if len(self._late) < _SHIP:
                await asyncio.sleep(every_s)

    async def watch(self) -> None:
        """Show again what was served lately where the cache has lost it, or we are new. Unavailable."""
        if not await self._roll.signed():
            recent = await self._own.recent(self._clock() - _RECENT_MS)
            for start in range(0, len(recent), _SHIP):
                await self._show(recent[start : start + _SHIP])
        await self._roll.sign()
        await self._roll.missing()  # remembers who lives

    async def _shared_with(self, viewer_id: str, limit: int) -> list[list[tuple[str, float]]]:
        """What the cache has of the viewer, once all who live have shown it what it lost. Unavailable."""
        key = _viewer_key(viewer_id)
        signed, members = await asyncio.gather(self._roll.signed(), self._ranked.top([key], limit))
        if signed:
            return members
        await self.watch()
        while await self._roll.missing():
            await asyncio.sleep(_PAUSE_S)
        return await self._ranked.top([key], limit)

    async def _show(self, slates: Sequence[Slate]) -> None:
        raws = [encode_slate(slate) for slate in slates]
        members: dict[str, dict[str, float]] = {}
        for slate, raw in zip(slates, raws, strict=True):
            if not slate.session_id:
                continue
            members.setdefault(_viewer_key(slate.viewer_id), {})[raw.decode("latin-1")] = float(slate.time_ms)
        keys = [_slate_key(slate.slate_id) for slate in slates]
        await self._cache.set(dict(zip(keys, raws, strict=True)), _TTL_MS)
        if members:
            await self._ranked.add(members, _MOST, _TTL_MS)

    async def detail(self, detail: SlateDetail) -> None:
        """Kept here, and on the log with its slate."""
        await self._own.detail(detail)

    async def get(self, slate_id: str) -> Slate | None:
        """The slate, a sibling's too; Unavailable when it is not ours and the cache does not answer in time, or has
        not answered a moment ago: then a sibling may not have told it yet."""
        slate = await self._own.get(slate_id)
        if slate is not None:
            return slate
        try:
            async with asyncio.timeout(self._deadline_s):
                raw = (await self._cache.get([_slate_key(slate_id)]))[0]
                lost = raw is None and not await self._roll.signed()
        except (Unavailable, TimeoutError):
            self._away()
            raise _unreadable() from None
        if raw is None and (lost or 0 < self._whole_ms - self._clock() <= _SETTLE_MS):
            raise _unreadable()
        return _shared(raw) if raw is not None else None

    async def get_detail(self, slate_id: str) -> SlateDetail | None:
        """Its detail where this replica served it."""
        return await self._own.get_detail(slate_id)

    async def latest(self, viewer_id: str, limit: int) -> list[Slate]:
        """The viewer's last slates, newest first. OwnSlatesAlone while the cache does not answer in time."""
        own = await self._own.latest(viewer_id, limit)
        try:
            async with asyncio.timeout(self._deadline_s):
                members = await self._shared_with(viewer_id, limit)
        except (Unavailable, TimeoutError):
            self._away()
            raise OwnSlatesAlone(own) from None
        found = [_shared(member.encode("latin-1", "replace")) for member, _ in members[0]]
        shared = [slate for slate in found if slate is not None]
        both = {slate.slate_id: slate for slate in (*own, *shared)}
        return sorted(both.values(), key=lambda s: (s.time_ms, s.page, s.slate_id), reverse=True)[:limit]

    def _away(self) -> None:
        """The cache has just not answered; what siblings served meanwhile comes to it some moments after."""
        self._whole_ms = self._clock() + _SETTLE_MS


def _unreadable() -> Unavailable:
    return Unavailable(_UNREADABLE)


class SlateShipper:
    """Moves the slates of the outbox to the log, in order, at least once."""

    def __init__(self, outbox: SlateOutbox, log: MessageLog, clock: Clock) -> None:
        self._outbox, self._log, self._clock = outbox, log, clock

    async def ship(self) -> int:
        """One batch; how many. Unavailable when the log does not answer: then they wait."""
        waiting = await self._outbox.waiting(_SHIP, self._clock() - _DETAIL_WAIT_MS)
        if waiting:
            await self._log.append(SLATES, [_message(slate, detail) for slate, detail in waiting])
            await self._outbox.shipped([slate.slate_id for slate, _ in waiting])
        return len(waiting)

    async def run(self, every_s: float = 0.5) -> None:
        """Ship for ever; an outage is waited out."""
        while True:
            try:
                moved = await self.ship()
            except Unavailable as error:
                _log.warning("Slates wait on this replica: %s", error.sentence)
                moved = 0
            if moved < _SHIP:
                await asyncio.sleep(every_s)


def _shared(raw: bytes) -> Slate | None:
    """A slate that the cache has, None where it cannot be read: the replica that served it has it on its disk."""
    try:
        return decode_slate(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning("A slate in the cache cannot be read and is passed over: %s", error)
        return None


def _message(slate: Slate, detail: SlateDetail | None) -> Message:
    served, full = (detail.served, detail.full) if detail is not None else (b"", b"")
    value = msgspec.msgpack.encode(SlateMessage(slate=encode_slate(slate), served=served, full=full))
    if full and len(slate.viewer_id.encode()) + len(value) > MAX_MESSAGE_BYTES:
        # One that the log refuses would hold back all behind it; training needs the served rows alone.
        value = msgspec.msgpack.encode(SlateMessage(slate=encode_slate(slate), served=served))
    return Message(slate.viewer_id, value)


def _slate_key(slate_id: str) -> str:
    return cache_key(slate_id, "slate")


def _viewer_key(viewer_id: str) -> str:
    return cache_key(viewer_id, "slates")
