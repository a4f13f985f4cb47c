"""Counting events into raw state, and stamping the rows that they touch: what every driver does."""

import numpy as np

from core.arrays import Array
from core.video_table import VideoTable
from features.columns import EventColumns
from features.kernels import count_all
from features.layout import REGION_STRIDE
from features.state import FeatureState, viewer_arrays


def count_events(state: FeatureState, columns: EventColumns, records: Array) -> None:
    """Count events, in order, into the counters of `state` and into viewers' `records` [viewers] VIEWER_DTYPE."""
    operations = columns.in_regions(records).operations()
    viewers, videos = viewer_arrays(records), state.video_columns()
    count_all(operations, viewers, videos, state.videos.counts, state.authors.counts, state.trends.counts)


def stamp_rows(state: FeatureState, columns: EventColumns, records: Array, applied_us: int) -> None:
    """Write into every row that the events touched the offset of the last of them, and when it was applied."""
    known, named = columns.video >= 0, columns.author > 0
    for rows, at, offset in (
        (records, columns.viewer, columns.offset),
        (state.videos.records, columns.video[known], columns.offset[known]),
        (state.authors.records, columns.author[named], columns.offset[named]),
        (state.trends.records, trend_rows(state.table, columns.in_regions(records)), columns.offset[known]),
    ):
        np.maximum.at(rows["version"], at, offset)
        rows["applied_us"][at] = applied_us


def trend_rows(table: VideoTable, columns: EventColumns) -> Array:
    """The row of topic and region of every event about a known video, as `reads.trend_row` places it. [n] int64"""
    known = columns.video >= 0
    topic = table.topic[columns.video[known]].astype(np.int64)
    return np.asarray(topic * REGION_STRIDE + columns.region[known] % REGION_STRIDE)
