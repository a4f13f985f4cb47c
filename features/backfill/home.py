"""The batch driver of an embedded home: one log, counted again in the order of its offsets."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from core.arrays import Array
from core.catalogue import ViewerRecord
from core.errors import NotFound, Unavailable
from core.events import CATALOGUE_EVENTS
from core.ports import EventReader, FeatureStore, Record
from core.video_table import Vocabulary
from features.backfill.output import Output
from features.backfill.replay import replay
from features.backfill.rows import Growing, Rows
from features.backfill.tasks import Counted
from features.columns import EventColumns, columns_of
from features.counting import count_events, stamp_rows, trend_rows
from features.layout import VIEWER_DTYPE
from features.packed import pack_rows
from features.skew.one_log import catalogue
from features.state import FeatureState

_PAGE = 20_000


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records in the order of their offsets; `time_ms` is when the intake took each, its own time where it did not."""

    records: list[Record]
    offset: Array
    time_ms: Array

    @classmethod
    def of(cls, records: list[Record]) -> "RecordPage":
        """The page of some records."""
        times = [r.event.ingested_ms or r.event.time_ms for r in records]
        return cls(records, np.array([r.offset for r in records], np.int64), np.array(times, np.int64))

    def __len__(self) -> int:
        return len(self.records)

    def slice(self, start: int, stop: int) -> "RecordPage":
        """Records start..stop-1."""
        return RecordPage(self.records[start:stop], self.offset[start:stop], self.time_ms[start:stop])


async def record_pages(log: EventReader, until: int) -> AsyncIterator[RecordPage]:
    """The log's records up to an offset."""
    after = 0
    while after < until and (records := await log.read(after, min(_PAGE, until - after))):
        after = records[-1].offset
        yield RecordPage.of(records)


class HomeReplay:
    """Counts every event into rows of viewers, videos, authors and trends, under the catalogue of its moment."""

    def __init__(self, state: FeatureState, users: Mapping[str, ViewerRecord]) -> None:
        self._state, self._users = state, users
        self._viewers, self._surfaces = Growing(VIEWER_DTYPE), Vocabulary()
        self.counted = self.duplicates = self.unusable = 0

    def count(self, page: RecordPage, as_of_ms: Array) -> None:
        """The page's events; `as_of_ms` [records] is the moment that each counts as of."""
        start = 0
        for is_catalogue, run in groupby(page.records, lambda r: isinstance(r.event, CATALOGUE_EVENTS)):
            records = list(run)
            if is_catalogue:
                catalogue(self._state.table, records)
                self._state.ensure()
            else:
                self._count(records, as_of_ms[start : start + len(records)])
            start += len(records)

    def _count(self, records: Sequence[Record], as_of_ms: Array) -> None:
        known, rows = len(self._viewers), self._viewers
        columns = columns_of(records, self._state.table, rows.places, self._surfaces)
        if not len(columns):
            return
        rows.ensure()
        for viewer_id in list(rows.places)[known:]:
            rows.records[rows.places[viewer_id]] = self._state.new_viewer(self._users.get(viewer_id))[0]
        count_events(self._state, columns, rows.records)
        stamp_rows(self._state, columns, rows.records, 0)
        offsets = np.array([r.offset for r in records], np.int64)
        self._stamp_times(columns, as_of_ms[np.searchsorted(offsets, columns.offset)] * 1000)
        self.counted += len(columns)

    def _stamp_times(self, columns: EventColumns, at_us: Array) -> None:
        known, named = columns.video >= 0, columns.author > 0
        s, records = self._state, self._viewers.records
        for rows, at, times in (
            (records, columns.viewer, at_us),
            (s.videos.records, columns.video[known], at_us[known]),
            (s.authors.records, columns.author[named], at_us[named]),
            (s.trends.records, trend_rows(s.table, columns.in_regions(records)), at_us[known]),
        ):
            np.maximum.at(rows["applied_us"], at, times)

    def since(self, version: int) -> list[Rows]:
        """The rows that changed after an offset."""
        s, table = self._state, self._state.table
        return [
            self._viewers.since("viewer", version),
            _changed("video", table.video_ids, s.videos.records[: len(table)], version),
            _changed("author", table.authors.words, s.authors.records[: len(table.authors)], version),
            _changed("trend", None, s.trends.records, version),
        ]


def _changed(entity: str, ids: Sequence[str] | None, records: Array, version: int) -> Rows:
    at = np.flatnonzero(records["version"] > version)
    return Rows(entity, [str(row) if ids is None else ids[row] for row in at.tolist()], records[at])


async def run_home(
    log: EventReader, replayed: HomeReplay, output: Output, moments_ms: Sequence[int], *, everything: bool
) -> tuple[Counted, list[Rows]]:
    """Count a home's log and write the snapshots; what was counted, and with `everything` every row at the end.

    NotFound where the log is empty.
    """
    end, written, final = await log.end(), 0, list[Rows]()
    if not end:
        raise NotFound("The log of this home is empty; put events on it with `foryou world` or `foryou import`.")
    offset = 0
    async for states in replay(record_pages(log, end), replayed, moments_ms, everything=everything):
        offset = states.offset
        if states.moment_ms is None:
            final = states.rows
        else:
            written += await output.put(states, "home")
    return Counted("home", offset, replayed.counted, 0, 0, written + sum(map(len, final))), final


async def write_home(features: FeatureStore, final: Sequence[Rows], end: int) -> None:
    """Replace the stored rows by counted ones; inside a transaction. Unavailable where the product went further."""
    applied = await features.applied_offset()
    if applied > end:
        raise Unavailable(
            f"The product has applied the log up to {applied} while it was counted up to {end}; stop what serves or"
            " imports into this home and run it again."
        )
    packed = {rows.entity: dict(zip(rows.ids, pack_rows(rows.records), strict=True)) for rows in final}
    await features.write(packed, end)
