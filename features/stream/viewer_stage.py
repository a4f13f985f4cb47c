"""The first stage: user.interaction -> viewers' rows, and what they tell the counters; one writer for each viewer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from core.arrays import Array
from core.clock import Clock, system_clock
from core.errors import NotFound, SchemaMismatch
from core.events import MAX_ID_CHARS, VIEWER_EVENTS, decode
from core.log import Entry, Message, MessageLog
from core.ports import Record
from core.topics import COUNTS, USER_INTERACTION
from features.layout import VIEWER_DTYPE
from features.stream.catalogue import CatalogueFollower
from features.stream.kept_state import KeptConfig, KeptState, Places
from features.stream.lane import Reject, StageMetrics, beyond, both
from features.stream.messages import CountsBatch, encode_batch
from features.stream.reading import DecodedEvents, ViewerEvents, parsed
from features.stream.soundness import unsound
from features.stream.viewers import Owners, apply_viewers, rekey

_VIEWER_EVENTS: Final = frozenset(VIEWER_EVENTS)


@dataclass(frozen=True, slots=True)
class Inlet:
    """What the counting stages of a process share: the log, the catalogue as this process follows it, the clock."""

    log: MessageLog
    catalogue: CatalogueFollower
    clock: Clock = system_clock


class ViewerWork:
    """Counts one partition of user.interaction into its viewers' rows."""

    def __init__(self, partition: int, inlet: Inlet, places: Places, metrics: StageMetrics, config: KeptConfig) -> None:
        self.partition, self._inlet, self._metrics, self._config = partition, inlet, metrics, config
        self._kept = KeptState(
            places, f"viewer-{partition}", f"viewer:{partition}", lambda key: ("viewer", key), VIEWER_DTYPE, config
        )
        self._told = 0  # the counters know of all events up to here

    async def open(self) -> int | None:
        """Load the newest state; the offset that it includes."""
        log = self._inlet.log
        self._owners = Owners(self._inlet.catalogue.table, len(await log.bounds(COUNTS)))
        self._told, _ = await self._kept.open((await log.bounds(USER_INTERACTION))[self.partition])
        return self._told

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Rows, counts and offset of these events, durably; a repeated event changes nothing."""
        entries = beyond(self._kept.offset, entries)
        if not entries:
            return
        events: ViewerEvents = parsed(entries) or await self._decoded(entries, reject)
        events = await self._placed(events, entries, reject)
        fresh, event_ids = self._distinct(events)
        now_us = self._inlet.clock() * 1000
        columns, viewers = fresh.columns(self._inlet.catalogue.table)
        columns, traits = self._inlet.catalogue.past.as_of(columns)
        with self._kept.changing(viewers) as (records, places):
            columns = replace(columns, viewer=places.astype(np.int32)[columns.viewer])
            apply_viewers(columns, records, traits, now_us)
            stored, offset = self._kept.pack(viewers, records, places), entries[-1].offset
            counts = rekey(columns, records, traits, self._owners)
            await both(self._tell(counts, now_us, offset), self._kept.online.write(stored, offset))
            await self._kept.commit(stored, offset, event_ids)
        self._measure(fresh, len(events.offset) - len(fresh.offset))

    async def tick(self) -> None:
        """Snapshots."""
        await self._kept.tick()

    async def close(self) -> None:
        """Let the file go."""
        await self._kept.close()

    async def _decoded(self, entries: Sequence[Entry], reject: Reject) -> DecodedEvents:
        """The viewer events among these messages, looked at one by one; anything else is rejected."""
        records = []
        for entry in entries:
            try:
                event = decode(entry.value)
            except SchemaMismatch as error:
                await reject(entry, error.sentence)
                continue
            fault = unsound(event) if type(event) in _VIEWER_EVENTS else "It is no event of a viewer."
            if fault:
                await reject(entry, f"Event {event.event_id[:MAX_ID_CHARS]}: {fault}")
            else:
                records.append(Record(entry.offset, event, entry.partition))
        return DecodedEvents(records)

    async def _placed(self, events: ViewerEvents, entries: Sequence[Entry], reject: Reject) -> ViewerEvents:
        """The events, once the catalogue is as far as their stamps say; a stamp that it never gave is rejected."""
        catalogue, stamps = self._inlet.catalogue, events.stamp
        try:
            if len(stamps) and stamps.min() == 0:
                await catalogue.advance()  # what has no stamp counts under the catalogue of the present
            await catalogue.advance(int(stamps.max(initial=0)) or catalogue.offset)
            return events
        except NotFound:
            end = catalogue.offset
        by_offset = {entry.offset: entry for entry in entries}
        beyond_end = stamps > end
        for offset, stamp in zip(events.offset[beyond_end].tolist(), stamps[beyond_end].tolist(), strict=True):
            await reject(by_offset[offset], f"It is stamped with the catalogue's offset {stamp}; the last is {end}.")
        return events.take(np.flatnonzero(~beyond_end))

    def _distinct(self, events: ViewerEvents) -> tuple[ViewerEvents, dict[bytes, int]]:
        """The events whose (viewer, event id) was not seen before, and the hashes to remember with their times."""
        assert self._kept.state is not None
        hashes, taken_ms = events.hashes(), events.ingested_ms
        times: list[int] = np.where(taken_ms > 0, taken_ms, events.time_ms).tolist()
        known, keep_ms = self._kept.state.seen(hashes), self._config.keep_ids_ms
        added = {} if known else dict(zip(hashes, times, strict=True))
        if len(added) == len(hashes):
            return events, added
        fresh: list[int] = []
        added = {}
        for place, (key, at_ms) in enumerate(zip(hashes, times, strict=True)):
            first_ms = known.get(key)
            if first_ms is None or at_ms - first_ms > keep_ms:
                known[key] = added[key] = at_ms
                fresh.append(place)
        return events.take(np.array(fresh, np.int64)), added

    async def _tell(self, counts: dict[int, Array], now_us: int, offset: int) -> None:
        """Send the counters what they do not know yet."""
        catalogue_offset = self._inlet.catalogue.offset
        messages = []
        for partition, rows in counts.items():
            news = rows[rows["offset"] > self._told]
            if len(news):
                batch = CountsBatch.of(self.partition, catalogue_offset, now_us, news)
                messages.append(Message(str(partition), encode_batch(batch), partition))
        if messages:
            await self._inlet.log.append(COUNTS, messages)
        self._told = offset

    def _measure(self, fresh: ViewerEvents, duplicates: int) -> None:
        self._metrics.duplicates += duplicates
        if len(fresh.ingested_ms) and fresh.ingested_ms[-1]:
            self._metrics.stale_ms = self._inlet.clock() - int(fresh.ingested_ms[-1])
