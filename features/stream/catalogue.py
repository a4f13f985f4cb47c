"""The catalogue in its one order: who writes foryou.catalogue, and how every process follows it."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

import msgspec

from core.clock import Clock, system_clock
from core.errors import ConfigError, CorruptData, NotFound, SchemaMismatch, Unavailable
from core.events import CATALOGUE_EVENTS, MAX_ID_CHARS, decode
from core.log import Entry, Message, MessageLog
from core.ports import Advance, PartitionState, Record, VideoStore
from core.topics import CATALOGUE
from core.video_table import VideoTable
from features.stream.lane import Reject
from features.stream.messages import CatalogueEntry, decode_entry, encode_entry
from features.stream.past import Past, Step, apply_entry, recode
from features.stream.soundness import unsound

_log = logging.getLogger(__name__)
_PAGE: Final = 2_000
_KEEP_MS: Final = 8 * 86_400_000
_encoder = msgspec.msgpack.Encoder()
_steps = msgspec.msgpack.Decoder(list[Step])


class RegistrarWork:
    """Appends each catalogue event of one partition of video.processed to foryou.catalogue."""

    def __init__(self, log: MessageLog) -> None:
        self._log, self._previous = log, -1

    async def open(self) -> int | None:
        """The group's commit says where to begin."""
        return None

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Append what these messages carry; those that carry no catalogue event are rejected."""
        messages, previous = [], self._previous
        for entry in entries:
            try:
                event = decode(entry.value)
            except SchemaMismatch as error:
                await reject(entry, error.sentence)
                continue
            if not isinstance(event, CATALOGUE_EVENTS):
                await reject(entry, f"Event {event.event_id} is no event of the catalogue.")
                continue
            if fault := unsound(event):
                await reject(entry, f"Event {event.event_id[:MAX_ID_CHARS]}: {fault}")
                continue
            placed = CatalogueEntry(
                source_partition=entry.partition,
                source_offset=entry.offset,
                event=entry.value,
                previous_offset=previous,
            )
            messages.append(Message(event.video_id, encode_entry(placed), 0))
            previous = entry.offset
        if messages:
            await self._log.append(CATALOGUE, messages)
        self._previous = previous

    async def tick(self) -> None:
        """Nothing falls due."""

    async def close(self) -> None:
        """Nothing is held."""


class CatalogueFollower:
    """Keeps the catalogue's table, its past, and the host's VideoStore up to date with foryou.catalogue.

    `journal` and `videos` share the database of `transaction`. Several processes of a host may follow into one store:
    what another has stored already is put into this process's table alone.
    """

    def __init__(
        self,
        log: MessageLog,
        videos: VideoStore,
        journal: PartitionState,
        transaction: Callable[[], AbstractContextManager[None]],
        clock: Clock = system_clock,
        keep_ms: int = _KEEP_MS,
    ) -> None:
        self._log, self._videos, self._journal, self._transaction = log, videos, journal, transaction
        self._clock, self._keep_ms = clock, keep_ms
        self.table = VideoTable()
        self.past = Past(self.table)
        self.offset = 0
        self._saved = -1  # up to where the host's files are known to be
        self._watermarks: dict[int, int] = {}
        self._unsaved: list[tuple[Record, Step]] = []
        self._ages: list[tuple[int, int]] = []  # (time_ms, offset) of some entries, to know what is old
        self._turn = asyncio.Lock()

    async def load(self) -> None:
        """Take what the host has stored. The table stays the same object ever after."""
        words: dict[str, list[str]] = {}
        with self._transaction():
            self.offset, self._watermarks = self._journal.position()
            steps = self._journaled()
            self.table = await self._videos.load()
        if len(self.table) and not self.offset:
            raise ConfigError(
                "The video store holds videos that did not come from foryou.catalogue; give the follower its own file."
            )
        if steps:
            await self._check_log(steps[0])
        for step in steps:
            for name, added in step.words.items():
                words.setdefault(name, []).extend(added)
        recode(self.table, words)
        self.past = Past(self.table)
        for step in steps:
            self._remember(step)
        self._forget()

    async def _check_log(self, first: Step) -> None:
        """ConfigError where the log's catalogue is not the one that the host followed; in an outage nothing is said."""
        try:
            found = await self._log.read(CATALOGUE, 0, first.offset - 1, 1)
        except Unavailable:
            return
        if [(entry.offset, entry.time_ms) for entry in found] != [(first.offset, first.time_ms)]:
            raise ConfigError(
                "The catalogue that this home keeps is of another log than the settings name; give this log a --home of"
                " its own, or correct FORYOU_KAFKA and FORYOU_KAFKA_PREFIX."
            )

    def _journaled(self) -> list[Step]:
        steps: list[Step] = []
        after = 0
        while page := self._journal.rows_since(0, after, _PAGE):
            after = page[-1][0]
            for _, _, raw in page:
                steps += _steps.decode(raw)
        return steps

    @property
    def watermarks(self) -> Mapping[int, int]:
        """How far the catalogue includes each partition of video.processed."""
        return self._watermarks

    async def advance(self, at_least: int = 0) -> int:
        """Follow to an offset (0: to what there is now); the offset reached.

        Raises NotFound where the catalogue ends before `at_least`, Unavailable where it cannot be read or stored now.
        """
        if 0 < at_least <= self.offset:
            return self.offset
        async with self._turn:
            while page := await self._log.read(CATALOGUE, 0, self.offset, _PAGE):
                self._take(page)
                await self._save()
            await self._save()
        if self.offset < at_least:
            last = (await self._log.bounds(CATALOGUE))[0].last
            if last < at_least:
                raise NotFound(f"The catalogue ends at {last}; there is no offset {at_least}.")
            raise Unavailable(f"The catalogue was read up to {self.offset} and {at_least} is needed; try again.")
        return self.offset

    async def follow(self, every_s: float = 0.2) -> None:
        """Until cancelled; an outage is tried again."""
        while True:
            try:
                await self.advance()
            except Unavailable as error:
                _log.warning("The catalogue is not followed now: %s", error.sentence)
            await asyncio.sleep(every_s)

    def _take(self, page: Sequence[Entry]) -> None:
        """Put entries into the table, in order; repeats are passed over."""
        for entry in page:
            try:
                placed = decode_entry(entry.value)
                event = decode(placed.event)
            except SchemaMismatch:
                raise  # going on would give other codes than the build that wrote it
            except CorruptData as error:
                _log.warning("Entry %d of the catalogue is passed over: %s", entry.offset, error.sentence)
                self.offset = entry.offset
                continue
            reached = self._watermarks.get(placed.source_partition, 0)
            self.offset = entry.offset
            if placed.source_offset <= reached or placed.previous_offset > reached:
                continue
            self._watermarks[placed.source_partition] = placed.source_offset
            step = apply_entry(self.table, entry.offset, entry.time_ms, event)
            if step is not None:
                self._remember(step)
                self._unsaved.append((Record(entry.offset, event, placed.source_partition), step))
        self._forget()

    async def _save(self) -> None:
        """Store what is new to the host's files, and how far they are."""
        if self.offset == self._saved:
            return
        with self._transaction():
            stored, _ = self._journal.position()
            if stored < self.offset:
                fresh = [(record, step) for record, step in self._unsaved if record.offset > stored]
                rows = []
                if fresh:
                    await self._videos.apply([record for record, _ in fresh])
                    last = fresh[-1][0].offset
                    rows = [(str(last), last, _encoder.encode([step for _, step in fresh]))]
                self._journal.commit(Advance(self.offset, rows, watermarks=self._watermarks))
        self._unsaved.clear()
        self._saved = self.offset

    def _remember(self, step: Step) -> None:
        self.past.record(step)
        if not self._ages or step.time_ms >= self._ages[-1][0] + 60_000:
            self._ages.append((step.time_ms, step.offset))

    def _forget(self) -> None:
        """Drop traits that no event may still be stamped with."""
        old = bisect_left(self._ages, (self._clock() - self._keep_ms, 0))
        if old > 1:
            self.past.forget(self._ages[old - 1][1])
            del self._ages[: old - 1]
