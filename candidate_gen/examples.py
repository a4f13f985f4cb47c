"""Training examples from watches: which are positives, and the history strictly before each."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from candidate_gen.interactions import Interactions
from core.arrays import Array, Bool, Int32, Int64

# Upper bounds of the time gap between a watch and now, in ms; one bucket more than bounds.
GAP_BOUNDS_MS = np.asarray(
    [60_000 * m for m in (1, 5, 15, 60, 180, 360, 720, 1440, 2880, 4320, 7200, 10080, 20160, 43200)],
    np.int64,
)
GAP_BUCKETS = len(GAP_BOUNDS_MS) + 1


@dataclass(frozen=True)
class Histories:
    """Recent watches of some viewers, newest first: `video` [n, length] int32 (-1 = none), `signal` uint8 and
    `gap` int64 (bucket of the time since the watch) of the same shape."""

    video: Int32
    signal: Array
    gap: Int64


@njit(cache=True)
def _fill(
    indptr: Int64,
    video: Int32,
    time_ms: Int64,
    signal: Array,
    viewer: Int32,
    now_ms: Int64,
    end: Int64,
    bounds: Int64,
    out_video: Int32,
    out_signal: Array,
    out_gap: Int64,
) -> None:
    for i in range(len(viewer)):
        start = indptr[viewer[i]]
        at = end[i] - 1
        while at >= start and time_ms[at] >= now_ms[i]:
            at -= 1
        for j in range(out_video.shape[1]):
            if at - j < start:
                break
            out_video[i, j] = video[at - j]
            out_signal[i, j] = signal[at - j]
            out_gap[i, j] = np.searchsorted(bounds, now_ms[i] - time_ms[at - j])


def histories_at(watches: Interactions, viewer: Int32, now_ms: Int64, end: Int64, length: int) -> Histories:
    """The last `length` watches before position `end` [n] whose time is strictly before `now_ms` [n]."""
    shape = (len(viewer), length)
    video, signal = np.full(shape, -1, np.int32), np.zeros(shape, np.uint8)
    gap = np.zeros(shape, np.int64)
    columns = (watches.indptr, watches.video, watches.time_ms, watches.signal)
    _fill(*columns, viewer, now_ms, end, GAP_BOUNDS_MS, video, signal, gap)
    return Histories(video, signal, gap)


@njit(cache=True)
def _first_watch(indptr: Int64, video: Int32, last: Int32, out: Bool) -> None:
    for viewer in range(len(indptr) - 1):
        for at in range(indptr[viewer], indptr[viewer + 1]):
            out[at] = last[video[at]] != viewer
            last[video[at]] = viewer


def first_watches(watches: Interactions, videos: int) -> Bool:
    """Whether each watch is its viewer's first of that video. [n] bool"""
    first = np.zeros(len(watches), np.bool_)
    _first_watch(watches.indptr, watches.video, np.full(videos, -1, np.int32), first)
    return first
