"""States and catalogue of a cluster: its topics, from archive and log as one, counted again partition by partition."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Final

import numpy as np

from core.errors import CorruptData, SchemaMismatch
from core.events import decode
from core.topics import CATALOGUE, COUNTS, USER_INTERACTION
from core.video_table import VideoTable
from features.archive.objects import Rows
from features.archive.reader import ArchivedLog
from features.backfill.catalogue import WholeCatalogue, read_catalogue
from features.backfill.counters import countable
from features.backfill.viewers import ViewerReplay
from features.layout import COUNTS_DTYPE
from features.skew.one_log import learn
from features.skew.states import State, StateKey, States
from features.state import CounterTable
from features.stream.counters import ENTITIES, FreshCounts, apply_counts, entity_row, fresh_counts
from features.stream.messages import CountsBatch, decode_entry

_TOGETHER: Final = 500
Topics = Callable[[str], ArchivedLog]


class ArchivedStates:
    """Counts user.interaction and foryou.counts from their beginning and keeps copies on the way."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def states(self, keys: Collection[StateKey]) -> States:
        """The rows by key; one whose version the topics do not lead to is absent."""
        past = await read_catalogue(self._topics(CATALOGUE))
        viewers = {key for key in keys if key.entity == "viewer"}
        return await self._viewers(past, viewers) | await self._counters(past, set(keys) - viewers)

    async def _viewers(self, past: WholeCatalogue, wanted: Collection[StateKey]) -> dict[StateKey, State]:
        log, found = self._topics(USER_INTERACTION), dict[StateKey, State]()
        last = max((key.version for key in wanted), default=0)
        for partition, bounds in enumerate(await log.bounds()):
            counting = ViewerReplay(past)
            async for page in log.stream(partition, 0, min(last, bounds.last)):
                found |= _count_viewers(counting, page, wanted)
        return found

    async def _counters(self, past: WholeCatalogue, wanted: Collection[StateKey]) -> dict[StateKey, State]:
        log, table, found = self._topics(COUNTS), past.past.table, dict[StateKey, State]()
        places = {(key.entity, entity_row(table, key.entity, key.id), key.version): key for key in wanted}
        last = max((key.version for key in wanted), default=0)
        for partition, bounds in enumerate(await log.bounds()):
            counting = _Counters(past, places)
            async for page in log.stream(partition, 0, min(last, bounds.last)):
                counting.count(page)
            counting.count_waiting()
            found |= counting.found
        return found


def _count_viewers(counting: ViewerReplay, page: Rows, wanted: Collection[StateKey]) -> dict[StateKey, State]:
    """Count a page, stopping at each message after which a viewer's row is wanted."""
    found: dict[StateKey, State] = {}
    start = 0
    for at, (viewer_id, offset) in enumerate(zip(page.key.to_pylist(), page.offset.tolist(), strict=True)):
        key = StateKey("viewer", viewer_id, offset)
        if key not in wanted:
            continue
        counting.count(page.slice(start, at + 1), page.time_ms[start : at + 1])
        start = at + 1
        for rows in counting.since(offset - 1):
            if viewer_id in rows.ids:
                record = rows.records[[rows.ids.index(viewer_id)]]
                found[key] = State(record.tobytes(), decode(page.value[at].as_py()).time_ms)
    if start < len(page):
        counting.count(page.slice(start, len(page)), page.time_ms[start:])
    return found


class _Counters:
    """The counters of one partition of foryou.counts, by row."""

    def __init__(self, past: WholeCatalogue, places: Mapping[tuple[str, int, int], StateKey]) -> None:
        self._past, self._places, self._stops = past, places, {version for _, _, version in places}
        self._tables = {entity: CounterTable() for entity in ENTITIES}
        self._watermarks: dict[int, int] = {}
        self._waiting: list[tuple[int, CountsBatch]] = []
        self.found: dict[StateKey, State] = {}

    def count(self, page: Rows) -> None:
        """The page's batches; what the stream sets aside is passed over."""
        for offset, raw in zip(page.offset.tolist(), page.value.to_pylist(), strict=True):
            batch = countable(raw, self._past)
            if batch is None:
                continue
            if offset in self._stops:  # its rows must be told from those before it
                self.count_waiting()
            self._waiting.append((offset, batch))
            if offset in self._stops or len(self._waiting) >= _TOGETHER:
                self.count_waiting()

    def count_waiting(self) -> None:
        """Count the batches that were put off, and copy the rows that are wanted as of the last of them."""
        if not self._waiting:
            return
        version = self._waiting[-1][0]
        fresh = fresh_counts(self._waiting, self._watermarks)
        self._watermarks, self._waiting = fresh.watermarks, []
        records = self._apply(fresh)
        for index, (entity, row) in enumerate(fresh.entities):
            key = self._places.get((entity, row, version))
            if key is not None and records["version"][index] == version:
                last = fresh.rows["time_ms"][(fresh.at == index).any(axis=1)][-1]
                self.found[key] = State(records[[index]].tobytes(), int(last))

    def _apply(self, fresh: FreshCounts) -> "np.ndarray[tuple[int, ...], np.dtype[np.void]]":
        records = np.zeros(len(fresh.entities), COUNTS_DTYPE)
        for index, (entity, row) in enumerate(fresh.entities):
            self._tables[entity].ensure(row + 1)
            records[index] = self._tables[entity].records[row]
        if len(fresh.rows):
            apply_counts(fresh, records, np.arange(len(records)), 0)
        for index, (entity, row) in enumerate(fresh.entities):
            self._tables[entity].records[row] = records[index]
        return records


class ArchivedCatalogue:
    """The catalogue as of any offset of foryou.catalogue, as every follower of the stream takes it."""

    def __init__(self, topics: Topics) -> None:
        self._log, self._table, self._done = topics(CATALOGUE), VideoTable(), 0
        self._reached: dict[int, int] = {}

    async def until(self, offset: int) -> VideoTable:
        """The catalogue as of an offset, the same object every time; offsets must not fall."""
        if offset > self._done:
            async for page in self._pages(offset):
                for raw in page.value.to_pylist():
                    self._take(raw)
            self._done = offset
        return self._table

    def _pages(self, offset: int) -> AsyncIterator[Rows]:
        return self._log.stream(0, self._done, offset)

    def _take(self, raw: bytes) -> None:
        try:
            entry = decode_entry(raw)
        except SchemaMismatch:
            raise
        except CorruptData:
            return
        before = self._reached.get(entry.source_partition, 0)
        if entry.source_offset > before >= entry.previous_offset:
            self._reached[entry.source_partition] = entry.source_offset
            learn(self._table, decode(entry.event))
