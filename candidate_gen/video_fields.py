"""The columns of a video that the video tower reads, as small codes."""

from typing import Final

import numpy as np
from numba import njit

from core.arrays import Array, Int32, Int64
from core.video_table import VideoTable

FIELDS: Final = ("author", "topic", "language", "region", "cluster", "duration")

# Upper bounds; one bucket more than bounds.
_DURATION_BOUNDS_MS: Final = np.asarray(
    [1000 * s for s in (5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)], np.int64
)
_AGE_BOUNDS_MS: Final = np.asarray(
    [3_600_000 * h for h in (1, 3, 6, 12, 24, 48, 72, 120, 168, 336, 720, 2160)], np.int64
)
DURATIONS: Final = len(_DURATION_BOUNDS_MS) + 1
AGES: Final = len(_AGE_BOUNDS_MS) + 1


def field_sizes(table: VideoTable) -> tuple[int, ...]:
    """How many codes each of FIELDS has in this table."""
    vocabularies = (table.authors, table.topics, table.languages, table.regions, table.clusters)
    return (*(len(words) for words in vocabularies), DURATIONS)


def field_codes(table: VideoTable, rows: Int32, sizes: tuple[int, ...]) -> Int32:
    """Codes of FIELDS; a code at or above its size is unknown, 0. [n, fields] int32"""
    duration = np.searchsorted(_DURATION_BOUNDS_MS, table.length_ms[rows])
    columns = (table.author, table.topic, table.language, table.region, table.cluster)
    codes = np.stack([*(column[rows] for column in columns), duration], axis=1).astype(np.int32)
    return np.where(codes < np.asarray(sizes, np.int32), codes, 0).astype(np.int32)


def age_buckets(upload_ms: Array, now_ms: Int64 | int) -> Int64:
    """The bucket of each video's age; the two arguments broadcast. [...] int64"""
    return np.searchsorted(_AGE_BOUNDS_MS, np.asarray(now_ms) - upload_ms)


@njit(cache=True)
def _ages(upload_ms: Int64, now_ms: Int64, bounds: Int64, out: Int64) -> None:
    for t in range(len(now_ms)):
        for c in range(len(upload_ms)):
            age, bucket = now_ms[t] - upload_ms[c], 0
            for bound in bounds:
                bucket += age > bound
            out[t, c] = bucket


def age_grid(upload_ms: Int64, now_ms: Int64) -> Int64:
    """The bucket of each video's age at each time. [times, videos] int64"""
    out = np.empty((len(now_ms), len(upload_ms)), np.int64)
    _ages(np.asarray(upload_ms, np.int64), now_ms, _AGE_BOUNDS_MS, out)
    return out
