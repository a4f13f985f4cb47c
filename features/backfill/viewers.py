"""Viewers' rows of one partition, counted again by the stream's own function."""

from typing import Final

import numpy as np

from core.arrays import Array
from core.errors import SchemaMismatch
from core.events import decode
from core.ports import Record
from core.video_table import Vocabulary
from features.archive.objects import Rows as LogRows
from features.backfill.catalogue import WholeCatalogue
from features.backfill.rows import Growing, Rows
from features.backfill.seen import Seen, of_viewers
from features.columns import columns_of
from features.layout import VIEWER_DTYPE
from features.stream.viewers import apply_viewers

_PIECE: Final = 4_096


def events_of(offsets: Array, values: list[bytes], partition: int = 0) -> list[Record]:
    """The events among some messages, under these offsets."""
    found = []
    for offset, raw in zip(offsets.tolist(), values, strict=True):
        try:
            found.append(Record(offset, decode(raw), partition))
        except SchemaMismatch:
            continue
    return found


class ViewerReplay:
    """Counts a partition of user.interaction in order; stamps say the log's own time of each row's last event."""

    def __init__(self, catalogue: WholeCatalogue) -> None:
        self._past, self._end = catalogue.past, catalogue.end
        self._rows, self._seen, self._surfaces = Growing(VIEWER_DTYPE), Seen(), Vocabulary()
        self.counted = self.duplicates = self.unusable = 0

    def count(self, rows: LogRows, as_of_ms: Array) -> None:
        """The page's events; `as_of_ms` [rows] is the moment that each counts as of."""
        for start in range(0, len(rows), _PIECE):
            stop = min(start + _PIECE, len(rows))
            self._count(rows.slice(start, stop), as_of_ms[start:stop])

    def _count(self, rows: LogRows, as_of_ms: Array) -> None:
        records = of_viewers(events_of(rows.offset, rows.value.to_pylist(), rows.partition), self._end)
        self.unusable += len(rows) - len(records)
        fresh = self._seen.fresh(records)
        self.duplicates += len(records) - len(fresh)
        columns = columns_of(fresh, self._past.table, self._rows.places, self._surfaces)
        if not len(columns):
            return
        self._rows.ensure()
        columns, traits = self._past.as_of(columns)
        apply_viewers(columns, self._rows.records, traits, 0)
        at_us = as_of_ms[np.searchsorted(rows.offset, columns.offset)] * 1000
        np.maximum.at(self._rows.records["applied_us"], columns.viewer, at_us)
        self.counted += len(columns)

    def since(self, version: int) -> list[Rows]:
        """The rows that changed after an offset."""
        return [self._rows.since("viewer", version)]
