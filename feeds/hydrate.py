"""The only reads of a request: everything about the viewer, at once, under a deadline.

A part that is late degrades to what is empty and is named; blocks are a safety part and never fail open.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from core.arrays import Array
from core.catalogue import Reactions, Relations, ViewerRecord
from core.errors import CorruptData, Unavailable
from core.ports import FeatureStore, HistoryStore, Record, SlateStore, Tables
from core.slate import Slate
from features.layout import VIEWER_DTYPE
from features.packed import record_of
from feeds.last_known import NOTHING_KNOWN, Known, KnownUsers, LastKnownRelations
from feeds.seen_videos import NOTHING_SEEN, Seen, SeenVideos
from feeds.shared_slates import OwnSlatesAlone
from feeds.told_events import ToldEvents, reacted, watched

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Patience:
    """How long each part is waited for: a circuit breaker for each.

    One that was late some times in a row is hardly waited for, until a read that is given its whole time once a second
    finds it well again. So an outage costs a few requests their deadline, not all. `turned` is told of a part whose
    breaker opens (True) or closes (False).
    """

    def __init__(
        self,
        late_times: int = 3,
        short_share: float = 0.1,
        probe_every_s: float = 1.0,
        turned: Callable[[str, bool], None] = lambda name, opened: None,
    ) -> None:
        self._late_times, self._short_share, self._probe_every_s = late_times, short_share, probe_every_s
        self._turned = turned
        self._late: dict[str, int] = {}
        self._probe_s: dict[str, float] = {}

    def limit_s(self, name: str, deadline_s: float) -> float:
        """The time that this read of the part may take."""
        if self._late.get(name, 0) < self._late_times:
            return deadline_s
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._probe_s.get(name, 0.0):
            self._probe_s[name] = now_s + self._probe_every_s
            return deadline_s
        return deadline_s * self._short_share

    def late(self, name: str) -> None:
        """The part was late."""
        self._late[name] = self._late.get(name, 0) + 1
        if self._late[name] == self._late_times:
            self._turned(name, True)

    def in_time(self, name: str) -> None:
        """The part came."""
        if self._late.pop(name, 0) >= self._late_times:
            self._turned(name, False)


@dataclass(frozen=True, slots=True)
class Readers:
    """The stores that a request reads; without `seen`, all that the history has stays away. `told` has what others
    will count, None where this process counts itself."""

    features: FeatureStore
    history: HistoryStore
    tables: Tables
    slates: SlateStore
    known: LastKnownRelations | None = None
    users: KnownUsers | None = None
    patience: Patience = field(default_factory=lambda: Patience())
    seen: SeenVideos | None = None
    told: ToldEvents | None = None


@dataclass(frozen=True, slots=True)
class ViewerFacts:
    """What was read; `record` the viewer's row [1] VIEWER_DTYPE, None where there is none; `relations` None means that
    their safety is unknown. `seen`: what must not come again yet. `news` is what the tables say of them and the cache
    of last known ones does not. `told`: events that the row may not include yet."""

    record: Array | None
    profile: ViewerRecord | None
    seen: Seen
    reactions: Reactions
    relations: Relations | None
    slates: list[Slate]
    degraded: tuple[str, ...]
    news: Relations | None = None
    told: tuple[Record, ...] = ()

    @property
    def region(self) -> str:
        """Where the viewer is, "" where that is not known."""
        return self.profile.region if self.profile is not None else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a viewer stands to authors and videos; `relations`, `degraded` and `news` as ViewerFacts has them."""

    reactions: Reactions
    relations: Relations | None
    degraded: tuple[str, ...]
    news: Relations | None


class _Parts:
    """Reads parts, each given up after `deadline_ms`, or where what is stored cannot be read; `late` names those."""

    def __init__(self, patience: Patience, deadline_ms: int) -> None:
        self._patience, self._deadline_s = patience, deadline_ms / 1000
        self.late: list[str] = []

    async def read(self, name: str, read: Coroutine[Any, Any, T], otherwise: Callable[[], T]) -> T:
        """The part, or what is taken instead."""
        try:
            value = await asyncio.wait_for(read, self._patience.limit_s(name, self._deadline_s))
        except (TimeoutError, Unavailable):
            self.late.append(name)
            self._patience.late(name)
            return otherwise()
        except CorruptData as error:
            _log.warning("A page goes without its viewer's %s: %s", name, error.sentence)
            self.late.append(name)
            value = otherwise()
        self._patience.in_time(name)
        return value


async def read_viewer(readers: Readers, viewer_id: str, slates: int, deadline_ms: int) -> ViewerFacts:
    """All parts concurrently."""
    parts = _Parts(readers.patience, deadline_ms)
    viewer = asyncio.gather(
        parts.read("features", _row(readers, viewer_id), lambda: (None, ())),
        parts.read("profile", _user(readers, viewer_id), lambda: _last_known(readers, viewer_id)),
        parts.read("seen", _seen(readers, viewer_id), lambda: NOTHING_SEEN),
        parts.read("session", _slates(parts, readers, viewer_id, slates), list),
    )
    standing, ((row, told), profile, seen, latest) = await asyncio.gather(_standing(parts, readers, viewer_id), viewer)
    late, relations, news = tuple(parts.late), standing.relations, standing.news
    reactions, seen = reacted(standing.reactions, told), Seen([*seen.recent, *watched(told)], seen.rows)
    return ViewerFacts(row, profile, seen, reactions, relations, latest, late, news, told)


async def read_standing(readers: Readers, viewer_id: str, deadline_ms: int) -> Standing:
    """What a feed without a model needs, all parts concurrently."""
    parts = _Parts(readers.patience, deadline_ms)
    return await _standing(parts, readers, viewer_id)


async def _standing(parts: _Parts, readers: Readers, viewer_id: str) -> Standing:
    reactions, relations, known = await asyncio.gather(
        parts.read("reactions", readers.history.reactions(viewer_id), Reactions),
        parts.read("relations", _optional(readers.tables.relations(viewer_id)), lambda: None),
        parts.read("known_relations", _known(readers, viewer_id), lambda: NOTHING_KNOWN),
    )
    news = relations if readers.known is not None and relations != known.relations else None
    return Standing(reactions, known.over(relations), tuple(parts.late), news)


async def read_region(readers: Readers, viewer_id: str, deadline_ms: int) -> str:
    """Where the viewer is, as far as that is known in time, else ""."""
    parts = _Parts(readers.patience, deadline_ms)
    profile = await parts.read("profile", _user(readers, viewer_id), lambda: _last_known(readers, viewer_id))
    return profile.region if profile is not None else ""


async def _slates(parts: _Parts, readers: Readers, viewer_id: str, limit: int) -> list[Slate]:
    """The viewer's last slates; those of this process alone, which is told, where no others can be read."""
    try:
        return await readers.slates.latest(viewer_id, limit)
    except OwnSlatesAlone as alone:
        if not alone.slates:
            raise
        parts.late.append("session")
        return alone.slates


async def _seen(readers: Readers, viewer_id: str) -> Seen:
    if readers.seen is not None:
        return await readers.seen.read(viewer_id)
    return Seen(await readers.history.seen(viewer_id), NOTHING_SEEN.rows)


async def _row(readers: Readers, viewer_id: str) -> tuple[Array | None, tuple[Record, ...]]:
    """The viewer's row, a copy that may be changed, and what was told last. CorruptData, SchemaMismatch where it is
    none of ours."""
    raws, told = await asyncio.gather(readers.features.read("viewer", [viewer_id]), _told(readers, viewer_id))
    return (record_of(raws[0], VIEWER_DTYPE) if raws[0] else None), told


async def _told(readers: Readers, viewer_id: str) -> tuple[Record, ...]:
    return await readers.told.read(viewer_id) if readers.told is not None else ()


async def _user(readers: Readers, viewer_id: str) -> ViewerRecord | None:
    read = readers.users.read if readers.users is not None else readers.tables.users
    return (await read([viewer_id]))[0]


def _last_known(readers: Readers, viewer_id: str) -> ViewerRecord | None:
    return readers.users.last_known([viewer_id])[0] if readers.users is not None else None


async def _known(readers: Readers, viewer_id: str) -> Known:
    return await readers.known.read(viewer_id) if readers.known is not None else NOTHING_KNOWN


async def _optional(read: Coroutine[Any, Any, T]) -> T | None:
    """The same read, for a part that is None when it fails."""
    return await read
