"""The stream driver: applies events from the log to every read model, in order, once.

Effects and the offset that they include are written in one transaction, so a process that is killed starts
again where its effects ended.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from core.arrays import Array
from core.clock import Clock, system_clock
from core.events import VideoPublished, VideoRemoved, VideoUpdated, Watch
from core.ports import EventLog, FeatureStore, HistoryStore, Record, Tables, VideoStore
from core.video_table import Vocabulary
from features.columns import EventColumns, columns_of
from features.counting import count_events, stamp_rows, trend_rows
from features.layout import VIEWER_DTYPE
from features.packed import pack_rows, record_of
from features.state import FeatureState

_CATCH_UP = 5_000


@dataclass(frozen=True, slots=True)
class ReadModels:
    """The stores that the log feeds, and a transaction over all of them."""

    history: HistoryStore
    tables: Tables
    videos: VideoStore
    features: FeatureStore
    transaction: Callable[[], AbstractContextManager[None]]


class Processor:
    """Keeps catalogue, history, relations and feature state up to date with the log."""

    def __init__(
        self,
        log: EventLog,
        models: ReadModels,
        state: FeatureState,
        surfaces: Vocabulary,
        clock: Clock = system_clock,
    ) -> None:
        self._log, self._models, self.state, self._surfaces = log, models, state, surfaces
        self._clock, self._stamped_us = clock, 0
        self.applied = 0

    async def load(self) -> None:
        """Read the stored counters of videos, authors and trends, then catch up with the log."""
        state = self.state
        state.ensure()
        for _, raw in await self._models.features.scan("video"):
            row = state.table.row(_)
            if row >= 0:
                state.videos.unpack(row, raw)
        for author_id, raw in await self._models.features.scan("author"):
            state.authors.unpack(state.table.authors.code(author_id), raw)
        for key, raw in await self._models.features.scan("trend"):
            state.trends.unpack(int(key), raw)
        self.applied = await self._models.features.applied_offset()
        await self.catch_up()

    def warm_up(self) -> None:
        """Compile, or load from the cache, what counting an event runs; on counters of its own."""
        table = self.state.table
        if len(table):
            watch = Watch(
                event_id="warm-up", viewer_id="warm-up", time_ms=1, video_id=table.video_ids[0], play_ms=1, length_ms=1
            )
            columns = columns_of([Record(1, watch)], table, {}, Vocabulary())
            count_events(FeatureState(table), columns, np.zeros(1, VIEWER_DTYPE))

    async def catch_up(self) -> int:
        """Apply what the log has beyond the applied offset; the number of records."""
        total = 0
        while records := await self._log.read(self.applied, _CATCH_UP):
            await self.apply(records)
            total += len(records)
        return total

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply records in offset order; those applied before are passed over."""
        fresh = sorted((r for r in records if r.offset > self.applied), key=lambda r: r.offset)
        if not fresh:
            return
        if fresh[0].offset > self.applied + 1:
            await self._fill(fresh[0].offset - 1)
        await self._apply(fresh)

    async def _fill(self, until: int) -> None:
        """Apply the records of other writers that lie before ours."""
        while self.applied < until:
            records = await self._log.read(self.applied, min(_CATCH_UP, until - self.applied))
            if not records:
                return
            await self._apply(records)

    async def _apply(self, fresh: Sequence[Record]) -> None:
        """Apply what no process has applied yet, and read what came of the rest.

        Check, read and write are one transaction, so that no two processes count an event into one row.
        """
        self._catalogue(fresh)
        try:
            with self._models.transaction():
                done = await self._models.features.applied_offset()
                await self._adopt([r for r in fresh if r.offset <= done])
                await self._write([r for r in fresh if r.offset > done])
        except BaseException:
            await self._adopt(fresh)  # memory goes back to what is stored
            raise
        self.applied = fresh[-1].offset

    async def _write(self, fresh: Sequence[Record]) -> None:
        if not fresh:
            return
        models = self._models
        viewers: dict[str, int] = {}
        columns = columns_of(fresh, self.state.table, viewers, self._surfaces)
        records = await self._viewers(list(viewers))
        count_events(self.state, columns, records)
        # Each write has a microsecond of its own, so that a state can be told from the next one by time alone.
        self._stamped_us = max(self._clock() * 1000, self._stamped_us + 1)
        stamp_rows(self.state, columns, records, self._stamped_us)
        rows = self._changed(columns, list(viewers), records)
        await models.videos.apply(fresh)
        await models.history.record(fresh)
        await models.tables.relate(fresh)
        await models.features.write(rows, fresh[-1].offset)

    async def _adopt(self, records: Sequence[Record]) -> None:
        """Take the counters that these records touch from the store."""
        if not records:
            return
        s, viewers = self.state, dict[str, int]()
        columns = columns_of(records, s.table, viewers, self._surfaces)
        stored = await self._viewers(list(viewers))
        videos = np.unique(columns.video[columns.video >= 0]).tolist()
        authors = np.unique(columns.author[columns.author > 0]).tolist()
        trends = np.unique(trend_rows(s.table, columns.in_regions(stored))).tolist()
        for entity, counters, rows, names in (
            ("video", s.videos, videos, [s.table.video_ids[row] for row in videos]),
            ("author", s.authors, authors, [s.table.authors.words[row] for row in authors]),
            ("trend", s.trends, trends, [str(row) for row in trends]),
        ):
            for row, raw in zip(rows, await self._models.features.read(entity, names), strict=True):
                counters.unpack(row, raw)

    def _catalogue(self, records: Sequence[Record]) -> None:
        table = self.state.table
        for record in records:
            if isinstance(record.event, VideoPublished):
                table.publish(record.event)
            elif isinstance(record.event, VideoUpdated):
                table.update(record.event)
            elif isinstance(record.event, VideoRemoved):
                table.remove(record.event)
        self.state.ensure()

    async def _viewers(self, viewer_ids: list[str]) -> Array:
        """The stored record of each viewer, a fresh one for each new one. [viewers] VIEWER_DTYPE"""
        records = np.zeros(len(viewer_ids), VIEWER_DTYPE)
        stored = await self._models.features.read("viewer", viewer_ids)
        profiles = await self._models.tables.users(viewer_ids)
        for row, (raw, profile) in enumerate(zip(stored, profiles, strict=True)):
            records[row] = (record_of(raw, VIEWER_DTYPE) if raw else self.state.new_viewer(profile))[0]
        return records

    def _changed(self, columns: EventColumns, viewer_ids: list[str], records: Array) -> dict[str, dict[str, bytes]]:
        """Packed rows of everything that the events touched, by entity and id."""
        s, table = self.state, self.state.table
        videos = np.unique(columns.video[columns.video >= 0]).tolist()
        authors = np.unique(columns.author[columns.author > 0]).tolist()
        trends = np.unique(trend_rows(self.state.table, columns.in_regions(records))).tolist()
        return {
            "viewer": dict(zip(viewer_ids, pack_rows(records), strict=True)),
            "video": dict(zip((table.video_ids[row] for row in videos), s.videos.pack(videos), strict=True)),
            "author": dict(zip((table.authors.words[row] for row in authors), s.authors.pack(authors), strict=True)),
            "trend": dict(zip(map(str, trends), s.trends.pack(trends), strict=True)),
        }
