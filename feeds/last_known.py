"""What was last known of viewers and users, so that an outage of the tables neither blinds the feed nor opens it.

Relations are kept as they were last read, beside those that the viewer has reported since: a block counts from its
acknowledgement on, whether or not the tables have heard of it. What was reported may add a block and never takes one
away: only the tables say that it ended. A follow and a hidden author are wishes, and the last word on them counts.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from core.cache_keys import cache_key
from core.catalogue import Relations, ViewerRecord
from core.clock import Clock
from core.errors import Unavailable
from core.events import Block, Event, Follow, HideAuthor, Unblock, Unfollow, UnhideAuthor
from core.ports import Bytes, Ranked, Record, Tables

_log = logging.getLogger(__name__)

_RELATIONS_TTL_MS: Final = 7 * 86_400_000
_Field = Literal["follows", "blocked", "blocked_by", "hidden"]
# Longer than relations are: else a block that was reported after they were kept would be forgotten before them.
_REPORTED_TTL_MS: Final = _RELATIONS_TTL_MS + 86_400_000
_REPORTED_MOST: Final = 200
_BLOCKED_BY: Final = "blocked_by"
_FIELDS: Final[dict[type[Event], tuple[_Field, bool]]] = {
    Follow: ("follows", True),
    Unfollow: ("follows", False),
    HideAuthor: ("hidden", True),
    UnhideAuthor: ("hidden", False),
    Block: ("blocked", True),
    Unblock: ("blocked", False),
}


class _Report(msgspec.Struct, frozen=True, array_like=True):
    """One change of a relation that was acknowledged; `field` is Relations'."""

    field: _Field
    author_id: str
    stands: bool
    time_ms: int
    event_id: str


_decode_relations = msgspec.msgpack.Decoder(Relations).decode
_decode_report = msgspec.json.Decoder(_Report).decode


@dataclass(frozen=True, slots=True)
class Known:
    """Relations as last read (None: never), and the changes reported since, oldest first."""

    relations: Relations | None
    reported: tuple[_Report, ...]

    def over(self, relations: Relations | None) -> Relations | None:
        """The relations that hold: `relations` where they were read, else the last known, with the changes reported;
        None when neither is known, or when more was reported than is kept."""
        if relations is None and len(self.reported) >= _REPORTED_MOST:
            return None
        base = relations if relations is not None else self.relations
        if base is None or not self.reported:
            return base
        groups = {name: dict.fromkeys(getattr(base, name)) for name in Relations.__struct_fields__}
        for (field, author_id), stands in {(r.field, r.author_id): r.stands for r in self.reported}.items():
            if stands:
                groups[field][author_id] = None
            elif field in ("follows", "hidden"):
                groups[field].pop(author_id, None)
        return Relations(**{name: tuple(group) for name, group in groups.items()})


NOTHING_KNOWN: Final = Known(None, ())


class LastKnownRelations:
    """Relations by viewer in the cache."""

    def __init__(self, cache: Bytes, ranked: Ranked) -> None:
        self._cache, self._ranked = cache, ranked

    async def read(self, viewer_id: str) -> Known:
        """What is known. Unavailable when the cache does not answer."""
        raw = (await self._cache.get([_key(viewer_id, "relations")]))[0]
        changes = (await self._ranked.top([_key(viewer_id, "reported")], _REPORTED_MOST))[0]
        reported = [_report_in(member) for member, _ in reversed(changes)]
        readable = tuple(report for report in reported if report is not None)
        # What cannot be read may have been a block: then the tables alone say what holds.
        return Known(_relations_in(raw) if len(readable) == len(reported) else None, readable)

    async def remember(self, viewer_id: str, relations: Relations) -> None:
        """Keep what the tables said."""
        await self._cache.set({_key(viewer_id, "relations"): msgspec.msgpack.encode(relations)}, _RELATIONS_TTL_MS)

    async def report(self, records: Sequence[Record]) -> None:
        """Keep the changes among events that were acknowledged, on both sides of a block."""
        changes: dict[str, dict[str, float]] = {}
        for event in (record.event for record in records):
            if isinstance(event, Follow | Unfollow | HideAuthor | UnhideAuthor | Block | Unblock):
                field, stands = _FIELDS[type(event)]
                _put(changes, event.viewer_id, _Report(field, event.author_id, stands, event.time_ms, event.event_id))
                if field == "blocked":
                    mirrored = _Report(_BLOCKED_BY, event.viewer_id, stands, event.time_ms, event.event_id)
                    _put(changes, event.author_id, mirrored)
        if changes:
            await self._ranked.add(changes, _REPORTED_MOST, _REPORTED_TTL_MS)


def _relations_in(raw: bytes | None) -> Relations | None:
    """None where nothing is kept, or nothing that we wrote: the next reading of the tables takes its place."""
    try:
        return _decode_relations(raw) if raw is not None else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warning("Last known relations in the cache cannot be read and are passed over: %s", error)
        return None


def _report_in(member: str) -> _Report | None:
    """None where it is not one of ours."""
    try:
        return _decode_report(member.encode())
    except (msgspec.DecodeError, UnicodeError) as error:
        _log.warning("A reported relation in the cache cannot be read and is passed over: %s", error)
        return None


def _put(changes: dict[str, dict[str, float]], user_id: str, report: _Report) -> None:
    member = msgspec.json.encode(report).decode()
    changes.setdefault(_key(user_id, "reported"), {})[member] = float(report.time_ms)


def _key(user_id: str, what: str) -> str:
    return cache_key(user_id, what)


class KnownUsers:
    """Users by id, read again after `fresh_ms`; in an outage as they were last read."""

    def __init__(self, tables: Tables, clock: Clock, fresh_ms: int = 60_000, most: int = 50_000) -> None:
        self._tables, self._clock, self._fresh_ms, self._most = tables, clock, fresh_ms, most
        self._kept: dict[str, tuple[int, ViewerRecord | None]] = {}

    async def read(self, user_ids: Sequence[str]) -> list[ViewerRecord | None]:
        """In the order asked for, None for each unknown one. Unavailable when the tables do not answer."""
        now = self._clock()
        stale = [key for key in dict.fromkeys(user_ids) if not 0 < self._until(key) - now <= self._fresh_ms]
        if stale:
            for key, record in zip(stale, await self._tables.users(stale), strict=True):
                self._kept.pop(key, None)
                self._kept[key] = (now + self._fresh_ms, record)
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
        return self.last_known(user_ids)

    def _until(self, key: str) -> int:
        """Until when a user counts as fresh; further away than `fresh_ms` where the clock was put back."""
        return self._kept.get(key, (0, None))[0]

    def last_known(self, user_ids: Sequence[str]) -> list[ViewerRecord | None]:
        """As they were last read, None for each that never was."""
        return [self._kept.get(key, (0, None))[1] for key in user_ids]

    async def region(self, user_id: str) -> str:
        """The user's region, the last known in an outage, "" when unknown."""
        try:
            record = (await self.read([user_id]))[0]
        except Unavailable:
            record = self.last_known([user_id])[0]
        return record.region if record is not None else ""
