"""Counters of a log that no stream has counted yet: in the order of the log's time, then partition, then offset."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.arrays import Array
from core.video_table import Vocabulary
from features.archive.order import Ordered, ordered
from features.archive.reader import ArchivedLog
from features.backfill.catalogue import WholeCatalogue
from features.backfill.counters import CounterReplay
from features.backfill.rows import Rows
from features.backfill.seen import Seen, of_viewers
from features.backfill.viewers import events_of
from features.columns import columns_of
from features.layout import VIEWER_DTYPE
from features.stream.counters import fresh_counts
from features.stream.messages import CountsBatch
from features.stream.viewers import Owners, rekey


@dataclass(frozen=True, slots=True)
class Numbered:
    """Messages of all partitions; `offset` is their number in the one order, from 1."""

    offset: Array
    time_ms: Array
    value: Any

    def __len__(self) -> int:
        return len(self.offset)

    def slice(self, start: int, stop: int) -> "Numbered":
        """Messages start..stop-1."""
        return Numbered(self.offset[start:stop], self.time_ms[start:stop], self.value.slice(start, stop - start))


async def numbered(log: ArchivedLog, until: Sequence[int]) -> AsyncIterator[Numbered]:
    """All messages up to the last offset of each partition, numbered in the one order."""
    number = 0
    async for page in ordered([log.stream(partition, 0, last) for partition, last in enumerate(until)]):
        yield _numbered(page, number)
        number += len(page)


def _numbered(page: Ordered, before: int) -> Numbered:
    return Numbered(np.arange(before + 1, before + 1 + len(page), dtype=np.int64), page.time_ms, page.value)


class Recount:
    """Counts events into counters at once; a row's `version` is the number of its last event."""

    def __init__(self, catalogue: WholeCatalogue) -> None:
        self._past, self._end, self._seen = catalogue.past, catalogue.end, Seen()
        self._counters = CounterReplay(catalogue)
        self.unusable = self.duplicates = 0

    @property
    def counted(self) -> int:
        """Events counted."""
        return self._counters.counted

    def count(self, page: Numbered, as_of_ms: Array) -> None:
        """The page's events."""
        records = of_viewers(events_of(page.offset, page.value.to_pylist()), self._end)
        self.unusable += len(page) - len(records)
        fresh = self._seen.fresh(records)
        self.duplicates += len(records) - len(fresh)
        viewers: dict[str, int] = {}
        columns, traits = self._past.as_of(columns_of(fresh, self._past.table, viewers, Vocabulary()))
        batches = rekey(columns, np.zeros(len(viewers), VIEWER_DTYPE), traits, Owners(self._past.table, 1))
        for rows in batches.values():
            counts = fresh_counts([(0, CountsBatch.of(0, 0, 0, rows))], {})
            counts = replace(counts, version=counts.rows["offset"].astype(np.int64))
            self._counters.apply(counts, as_of_ms[np.searchsorted(page.offset, counts.version)] * 1000)

    def since(self, version: int) -> list[Rows]:
        """The rows that changed after an event's number."""
        return self._counters.since(version)
