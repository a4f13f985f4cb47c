"""The second stage's pure part: batches of counts into the rows of videos, authors and trends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from core.arrays import Array, Int64
from core.video_table import VideoTable
from features.kernels import count_counters
from features.layout import REGION_STRIDE
from features.raw import Counts
from features.stream.messages import COUNT_ROW, CountsBatch

ENTITIES: Final = ("video", "author", "trend")
# A counter's key: its entity's number, then its row in 40 bits.
_ROW_BITS: Final = 40
_ROW_MASK: Final = (1 << _ROW_BITS) - 1


class _Columns(NamedTuple):
    """What the kernel takes of COUNT_ROW rows."""

    time_ms: Array
    op: Array
    known: Array
    play_ms: Array
    length_ms: Array
    long_view: Array
    click: Array


@dataclass(frozen=True, slots=True)
class FreshCounts:
    """The rows of some batches that were not counted before: `keys` are the counters that they touch, `at`
    [rows, 3] the place of each row's video, author and trend among them (-1: none), `version` [rows] the offset of
    each row's batch, `watermarks` the last source offset by source partition when they are counted."""

    rows: Array
    keys: Array
    at: Array
    version: Array
    watermarks: dict[int, int]

    @property
    def entities(self) -> list[tuple[str, int]]:
        """Each key as entity and row."""
        return [(ENTITIES[key >> _ROW_BITS], key & _ROW_MASK) for key in self.keys.tolist()]


def fresh_counts(batches: Sequence[tuple[int, CountsBatch]], watermarks: dict[int, int]) -> FreshCounts:
    """What is new in batches with their offsets, in order: rows at or below their source's watermark are passed over.

    Raises CorruptData where a batch is not what was sent.
    """
    reached, parts, versions = dict(watermarks), [np.zeros(0, COUNT_ROW)], [np.zeros(0, np.int64)]
    for offset, batch in batches:
        rows = batch.columns()
        rows = rows[rows["offset"] > reached.get(batch.source_partition, 0)]
        if len(rows):
            reached[batch.source_partition] = int(rows["offset"].max())
            parts.append(rows)
            versions.append(np.full(len(rows), offset, np.int64))
    rows = np.concatenate(parts)
    named = np.stack([rows[name].astype(np.int64) for name in ENTITIES], axis=1)
    keys = np.where(named >= 0, named | np.arange(len(ENTITIES)) << _ROW_BITS, -1)
    unique, place = np.unique(keys[keys >= 0], return_inverse=True)
    at = np.full(keys.shape, -1, np.int64)
    at[keys >= 0] = place
    return FreshCounts(rows, unique, at, np.concatenate(versions), reached)


def apply_counts(fresh: FreshCounts, records: Array, places: Int64, applied_us: int) -> None:
    """Count the rows, in order, into the `records` COUNTS_DTYPE at `places` [keys], and stamp each with its last
    batch's offset; times only grow, as those of viewers' rows."""
    if not len(places):
        return
    columns = _Columns(**{name: np.ascontiguousarray(fresh.rows[name]) for name in _Columns._fields})
    at = np.where(fresh.at >= 0, places[fresh.at], -1)
    count_counters(columns, at, Counts(records["counts"], records["steps"], records["totals"]))
    for column in range(at.shape[1]):
        touched = at[:, column] >= 0
        np.maximum.at(records["version"], at[touched, column], fresh.version[touched])
    records["applied_us"][places] = np.maximum(records["applied_us"][places] + 1, applied_us)


def entity_counts(table: VideoTable) -> dict[str, int]:
    """How many counters of each entity the catalogue gives rise to."""
    return {"video": len(table), "author": len(table.authors), "trend": len(table.topics) * REGION_STRIDE}


def entity_id(table: VideoTable, entity: str, row: int) -> str:
    """The id under which a counter's row is stored and published."""
    if entity == "video":
        return table.video_ids[row]
    return table.authors.words[row] if entity == "author" else str(row)


def entity_row(table: VideoTable, entity: str, name: str) -> int:
    """The row of a counter by the id under which it is stored."""
    if entity == "video":
        return table.row(name)
    return table.authors.code(name) if entity == "author" else int(name)
