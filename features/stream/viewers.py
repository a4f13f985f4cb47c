"""The first stage's pure part: a micro-batch of viewer events into viewers' rows, and what it tells the counters."""

from dataclasses import dataclass
from typing import Final
from zlib import crc32

import numpy as np

from core.arrays import Array, Int32
from core.video_table import VideoTable
from features.columns import EventColumns
from features.kernels import count_viewers
from features.layout import REGION_STRIDE
from features.raw import Videos
from features.state import viewer_arrays
from features.stream.messages import COUNT_ROW

_COPIED: Final = ("offset", "time_ms", "play_ms", "length_ms", "op", "long_view", "click")


@dataclass(frozen=True, slots=True)
class Traits:
    """What the catalogue said of each event's video when the event was taken in.

    `videos` are columns; `row` [events] is the row in them of each event's video, -1 where it is unknown.
    """

    videos: Videos
    row: Array

    @property
    def topic(self) -> Array:
        """The topic's code of each event's video, 0 where the video is unknown. [events] int64"""
        found = np.zeros(len(self.row), np.int64)
        known = self.row >= 0
        found[known] = self.videos.topic[self.row[known]]
        return found


def present_traits(table: VideoTable, columns: EventColumns) -> Traits:
    """The traits that the catalogue has now."""
    return Traits(video_columns(table), columns.video)


def video_columns(table: VideoTable) -> Videos:
    """The catalogue's columns, as the kernels take them."""
    return Videos(table.author, table.topic, table.cluster, table.language, table.length_ms, table.embedding)


def apply_viewers(columns: EventColumns, records: Array, traits: Traits, applied_us: int) -> None:
    """Count events, in order, into `records` [viewers] VIEWER_DTYPE, and stamp each with its last event's offset.

    A later state of a row is never stamped with an earlier time, though the clock be put back.
    """
    count_viewers(columns.operations(), traits.row, viewer_arrays(records), traits.videos)
    np.maximum.at(records["version"], columns.viewer, columns.offset)
    touched = np.unique(columns.viewer)
    records["applied_us"][touched] = np.maximum(records["applied_us"][touched] + 1, applied_us)


class Owners:
    """The counter partition of each video, author and trend: a stable hash of "video:<id>", so that each has one."""

    def __init__(self, table: VideoTable, partitions: int) -> None:
        self._table, self.partitions = table, partitions
        self._videos: Int32 = np.zeros(0, np.int32)
        self._authors: Int32 = np.zeros(0, np.int32)
        self._trends: Int32 = np.zeros(0, np.int32)

    def videos(self, rows: Array) -> Array:
        """The partition of each video's row, -1 for -1. [rows] int32"""
        ids = self._table.video_ids
        self._videos = self._grown(self._videos, [f"video:{name}" for name in ids[len(self._videos) :]])
        return self._of(self._videos, rows)

    def authors(self, codes: Array) -> Array:
        """The partition of each author's code, -1 for -1. [codes] int32"""
        words = self._table.authors.words
        self._authors = self._grown(self._authors, [f"author:{name}" for name in words[len(self._authors) :]])
        return self._of(self._authors, codes)

    def trends(self, rows: Array) -> Array:
        """The partition of each trend's row, -1 for -1. [rows] int32"""
        count = len(self._table.topics) * REGION_STRIDE
        self._trends = self._grown(self._trends, [f"trend:{row}" for row in range(len(self._trends), count)])
        return self._of(self._trends, rows)

    def _grown(self, known: Int32, keys: list[str]) -> Int32:
        if not keys:
            return known
        added = np.fromiter((crc32(key.encode()) % self.partitions for key in keys), np.int32, len(keys))
        return np.concatenate([known, added])

    @staticmethod
    def _of(known: Int32, rows: Array) -> Array:
        return np.where(rows >= 0, known[rows], -1) if len(known) else np.full(len(rows), -1, np.int32)


def rekey(columns: EventColumns, records: Array, traits: Traits, owners: Owners) -> dict[int, Array]:
    """The rows [events] COUNT_ROW that each counter partition must count; `records` are the viewers' VIEWER_DTYPE.

    A partition that owns nothing an event touches does not get the event.
    """
    known = columns.video >= 0
    region = columns.in_regions(records).region.astype(np.int64)
    video = columns.video
    author = np.where(columns.author > 0, columns.author, -1)
    trend = np.where(known, traits.topic * REGION_STRIDE + region % REGION_STRIDE, -1)
    owned = np.stack([owners.videos(video), owners.authors(author), owners.trends(trend)])
    rows = np.zeros(len(columns), COUNT_ROW)
    for name in _COPIED:
        rows[name] = getattr(columns, name)
    rows["known"] = known
    batches = {}
    for partition in np.unique(owned[owned >= 0]).tolist():
        mine = owned == partition
        kept = mine.any(axis=0)
        part = rows[kept]
        for name, values, own in zip(("video", "author", "trend"), (video, author, trend), mine, strict=True):
            part[name] = np.where(own, values, -1)[kept]
        batches[int(partition)] = part
    return batches
