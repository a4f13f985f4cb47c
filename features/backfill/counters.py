"""Counters of videos, authors and trends, counted again in the order in which the stream counted them."""

import numpy as np

from core.arrays import Array
from core.errors import CorruptData, SchemaMismatch
from features.archive.objects import Rows as LogRows
from features.backfill.catalogue import WholeCatalogue
from features.backfill.rows import Growing, Rows
from features.layout import COUNTS_DTYPE
from features.stream.counters import ENTITIES, FreshCounts, apply_counts, entity_counts, entity_id, fresh_counts
from features.stream.messages import CountsBatch, decode_batch


class CounterReplay:
    """Counts batches of foryou.counts in order; stamps say the log's own time of each row's last batch."""

    def __init__(self, catalogue: WholeCatalogue) -> None:
        self._catalogue, self._table = catalogue, catalogue.past.table
        self._rows = {entity: Growing(COUNTS_DTYPE) for entity in ENTITIES}
        self._watermarks: dict[int, int] = {}
        self.counted = self.duplicates = self.unusable = 0

    def count(self, rows: LogRows, as_of_ms: Array) -> None:
        """The page's batches; `as_of_ms` [rows] is the moment that each counts as of."""
        batches = []
        for offset, raw in zip(rows.offset.tolist(), rows.value.to_pylist(), strict=True):
            batch = countable(raw, self._catalogue)
            if batch is None:
                self.unusable += 1
            else:
                batches.append((offset, batch))
        fresh = fresh_counts(batches, self._watermarks)
        self._watermarks = fresh.watermarks
        self.apply(fresh, as_of_ms[np.searchsorted(rows.offset, fresh.version)] * 1000)

    def apply(self, fresh: FreshCounts, at_us: Array) -> None:
        """Count rows of batches; `at_us` [rows] is the moment of each."""
        if not len(fresh.rows):
            return
        named = [(entity, entity_id(self._table, entity, row)) for entity, row in fresh.entities]
        places = [self._rows[entity].place(key) for entity, key in named]
        for rows in self._rows.values():
            rows.ensure()
        records = np.zeros(len(named), COUNTS_DTYPE)
        for index, ((entity, _), place) in enumerate(zip(named, places, strict=True)):
            records[index] = self._rows[entity].records[place]
        apply_counts(fresh, records, np.arange(len(records)), 0)
        for column in range(fresh.at.shape[1]):
            touched = fresh.at[:, column] >= 0
            np.maximum.at(records["applied_us"], fresh.at[touched, column], at_us[touched])
        for index, ((entity, _), place) in enumerate(zip(named, places, strict=True)):
            self._rows[entity].records[place] = records[index]
        self.counted += len(fresh.rows)

    def since(self, version: int) -> list[Rows]:
        """The rows that changed after an offset."""
        return [self._rows[entity].since(entity, version) for entity in ENTITIES]


def countable(raw: bytes, catalogue: WholeCatalogue) -> CountsBatch | None:
    """The batch, None for what the stream sets aside; SchemaMismatch for a later build's, at which it stops."""
    try:
        batch = decode_batch(raw)
        fault = batch.fault(entity_counts(catalogue.past.table))
    except SchemaMismatch:
        raise
    except CorruptData:
        return None
    return None if fault or batch.catalogue_offset > catalogue.end else batch
