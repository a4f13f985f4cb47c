"""The archived log as one sequence of events: what training reads instead of the embedded event log."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import numpy as np

from core.arrays import Array
from core.errors import SchemaMismatch
from core.events import AnyEvent, decode
from core.ports import Record
from features.archive.objects import Rows
from features.archive.order import ordered
from features.archive.reader import ArchivedLog

_FOREVER: Final = np.iinfo(np.int64).max


@dataclass(slots=True)
class _Taken:
    """A moment's view: by partition the last offset and the offsets passed over; how many events remain."""

    until: list[int] = field(default_factory=list)
    passed: list[Array] = field(default_factory=list)
    total: int = 0


class ArchivedEvents:
    """Reads one topic as an EventLog would be read: sequence numbers from 1, each (viewer, event id) once.

    The first offset of an event wins; what cannot be decoded is passed over. The order is the log's time, ties by
    partition, and each partition's own order; what came after the first look is not seen.
    """

    def __init__(self, log: ArchivedLog) -> None:
        self._log = log
        self._taken: _Taken | None = None
        self._ahead: list[Record] = []
        self._given = 0
        self._source: AsyncIterator[list[Record]] | None = None

    async def end(self) -> int:
        """The last sequence number, 0 when empty."""
        return (await self._look()).total

    async def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` events numbered above `after`, in order; reading on is cheap, going back begins anew."""
        await self._look()
        if self._source is None or after < self._given:
            self._source, self._ahead, self._given = self._numbered(), [], 0
        while self._given + len(self._ahead) < after + limit:
            page = await anext(self._source, None)
            if page is None:
                break
            self._ahead += page
            self._drop(min(after - self._given, len(self._ahead)))
        self._drop(min(after - self._given, len(self._ahead)))
        found = self._ahead[:limit]
        self._drop(len(found))
        return found

    def _drop(self, count: int) -> None:
        if count > 0:
            self._given += count
            del self._ahead[:count]

    async def _look(self) -> _Taken:
        if self._taken is None:
            taken = _Taken()
            for partition, bounds in enumerate(await self._log.bounds()):
                offsets, passed = await self._passed(partition, bounds.last)
                taken.until.append(bounds.last)
                taken.passed.append(passed)
                taken.total += offsets - len(passed)
            self._taken = taken
        return self._taken

    async def _passed(self, partition: int, until: int) -> tuple[int, Array]:
        """How many messages a partition has, and the offsets of those that are no event or one again."""
        offsets, digests = [], []
        async for rows in self._log.stream(partition, 0, until):
            offsets.append(rows.offset)
            digests.append(_digests(rows))
        if not offsets:
            return 0, np.zeros(0, np.int64)
        offset, digest = np.concatenate(offsets), np.concatenate(digests)
        order = np.lexsort((offset, digest[:, 1], digest[:, 0]))
        again = np.zeros(len(order), bool)
        again[order[1:]] = (digest[order[1:]] == digest[order[:-1]]).all(axis=1)
        return len(offset), offset[again | ~digest.any(axis=1)]

    async def _numbered(self) -> AsyncIterator[list[Record]]:
        taken, number = await self._look(), 0
        async for records in events(self._log, taken.until, taken.passed):
            numbered = [Record(number + at, r.event, r.partition) for at, r in enumerate(records, 1)]
            number += len(numbered)
            yield numbered


async def events(
    log: ArchivedLog,
    until: list[int],
    passed: list[Array] | None = None,
    from_ms: int = 0,
    to_ms: int = _FOREVER,
    unreadable: Callable[[str], None] | None = None,
) -> AsyncIterator[list[Record]]:
    """Events that the log took from `from_ms` to before `to_ms`, page by page in the one order, with their offsets.

    `until` and `passed` give the last offset and the offsets to pass over, by partition. An event that cannot be
    decoded is told to `unreadable`.
    """
    streams = [log.between(number, from_ms, to_ms, last) for number, last in enumerate(until)]
    async for page in ordered(streams):
        keep = np.ones(len(page), bool)
        for number, offsets in enumerate(passed or []):
            if len(offsets):
                keep &= (page.partition != number) | ~np.isin(page.offset, offsets)
        at = np.flatnonzero(keep)
        values = page.value.take(at).to_pylist()
        found = zip(page.offset[at].tolist(), values, page.partition[at].tolist(), strict=True)
        records = [Record(offset, e, n) for offset, raw, n in found if (e := _event(raw, unreadable)) is not None]
        if records:
            yield records


def _event(raw: bytes, unreadable: Callable[[str], None] | None) -> AnyEvent | None:
    try:
        return decode(raw)
    except SchemaMismatch as error:
        if unreadable is not None:
            unreadable(error.sentence)
        return None


def _digests(rows: Rows) -> Array:
    """128 bits of viewer and event id, zeros for what is no event. [rows, 2] uint64"""
    found = bytearray()
    for raw in rows.value.to_pylist():
        event = _event(raw, None)
        found += bytes(16) if event is None else blake2b(_name(event), digest_size=16).digest()
    return np.frombuffer(bytes(found), np.uint64).reshape(-1, 2)


def _name(event: AnyEvent) -> bytes:
    return f"{len(event.viewer_id)}:{event.viewer_id}{event.event_id}".encode()
