"""The first stage: user.interaction -> viewers' rows, and what they tell the counters; one writer for each viewer."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from core.arrays import Array
from core.clock import Clock, system_clock
from core.errors import NotFound, SchemaMismatch
from core.events import MAX_ID_CHARS, VIEWER_EVENTS, decode, decode_all
from core.log import Entry, Message, MessageLog
from core.ports import Record
from core.topics import COUNTS, USER_INTERACTION
from core.video_table import Vocabulary
from features.columns import columns_of
from features.layout import VIEWER_DTYPE
from features.stream.catalogue import CatalogueFollower
from features.stream.kept_state import KeptConfig, KeptState, Places
from features.stream.lane import Reject, StageMetrics, beyond, both
from features.stream.messages import CountsBatch, encode_batch
from features.stream.soundness import all_sound, unsound
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
        records = _sound_records(entries)
        if records is None:
            records = await self._decoded(entries, reject)
        records = await self._placed(records, entries, reject)
        fresh, event_ids = self._distinct(records)
        now_us, viewers = self._inlet.clock() * 1000, dict[str, int]()
        columns = columns_of(fresh, self._inlet.catalogue.table, viewers, Vocabulary())
        columns, traits = self._inlet.catalogue.past.as_of(columns)
        rows = self._kept.hot.gather(list(viewers))
        apply_viewers(columns, rows, traits, now_us)
        stored, offset = self._kept.pack(list(viewers), rows), entries[-1].offset
        counts = rekey(columns, rows, traits, self._owners)
        await both(self._tell(counts, now_us, offset), self._kept.online.write(stored, offset))
        await self._kept.commit(stored, rows, offset, event_ids)
        self._measure(fresh, len(records) - len(fresh))

    async def tick(self) -> None:
        """Snapshots."""
        await self._kept.tick()

    async def close(self) -> None:
        """Let the file go."""
        await self._kept.close()

    async def _decoded(self, entries: Sequence[Entry], reject: Reject) -> list[Record]:
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
        return records

    async def _placed(self, records: list[Record], entries: Sequence[Entry], reject: Reject) -> list[Record]:
        """The records, once the catalogue is as far as their stamps say; a stamp that it never gave is rejected."""
        catalogue, stamps = self._inlet.catalogue, [record.event.catalogue_offset for record in records]
        try:
            if stamps and min(stamps) == 0:
                await catalogue.advance()  # what has no stamp counts under the catalogue of the present
            await catalogue.advance(max(stamps, default=0) or catalogue.offset)
            return records
        except NotFound:
            end = catalogue.offset
        by_offset = {entry.offset: entry for entry in entries}
        for record in records:
            if record.event.catalogue_offset > end:
                reason = (
                    f"It is stamped with the catalogue's offset {record.event.catalogue_offset}; the last is {end}."
                )
                await reject(by_offset[record.offset], reason)
        return [record for record in records if record.event.catalogue_offset <= end]

    def _distinct(self, records: Sequence[Record]) -> tuple[list[Record], dict[bytes, int]]:
        """The records whose (viewer, event id) was not seen before, and the hashes to remember with their times."""
        assert self._kept.state is not None
        hashes = [id_hash(record.event.viewer_id, record.event.event_id) for record in records]
        times = [record.event.ingested_ms or record.event.time_ms for record in records]
        known, keep_ms = self._kept.state.seen(hashes), self._config.keep_ids_ms
        added = {} if known else dict(zip(hashes, times, strict=True))
        if len(added) == len(records):
            return list(records), added
        fresh: list[Record] = []
        added = {}
        for record, key, at_ms in zip(records, hashes, times, strict=True):
            first_ms = known.get(key)
            if first_ms is None or at_ms - first_ms > keep_ms:
                known[key] = added[key] = at_ms
                fresh.append(record)
        return fresh, added

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

    def _measure(self, fresh: Sequence[Record], duplicates: int) -> None:
        self._metrics.duplicates += duplicates
        if fresh and fresh[-1].event.ingested_ms:
            self._metrics.stale_ms = self._inlet.clock() - fresh[-1].event.ingested_ms


def _sound_records(entries: Sequence[Entry]) -> list[Record] | None:
    """The viewer events that all of these messages carry; None where one needs a closer look."""
    try:
        events = decode_all([entry.value for entry in entries])
    except SchemaMismatch:
        return None
    if not (set(map(type, events)) <= _VIEWER_EVENTS and all_sound(events)):
        return None
    return [Record(entry.offset, event, entry.partition) for entry, event in zip(entries, events, strict=True)]


def id_hash(viewer_id: str, event_id: str) -> bytes:
    """16 bytes that stand for a viewer's event id."""
    return blake2b(f"{viewer_id}\0{event_id}".encode(), digest_size=16).digest()
