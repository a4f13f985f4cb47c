"""The kernels that both drivers share: one ordered pass of reads and writes over raw feature state.

Integer arithmetic and IEEE additions and products only, in one order, so that every machine, and both
drivers, get the same bits.
"""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201, ANN202

import numpy as np
from numba import njit

from features.layout import ACTIONS, OP, PAIR_ACTIONS, TOTALS
from features.reads import read_video, read_viewer
from features.writes import apply_event, fill_gains, write_counters, write_viewer

_READ = OP["read"]


@njit(cache=True, inline="always")
def _copy_history(viewers, viewer, past, row):
    length = viewers.history_len[viewer]
    past.length[row] = length
    for k in range(length):
        past.video[row, k] = viewers.history_video[viewer, k]
        past.signal[row, k] = viewers.history_signal[viewer, k]
        past.time_ms[row, k] = viewers.history_time_ms[viewer, k]


@njit(cache=True)
def replay(ops, start, stop, viewers, videos, video_counts, author_counts, trend_counts, out, past):
    """Run operations start..stop in order; the k-th read fills row k of `out` and `past`. Returns their number."""
    reads = 0
    for i in range(start, stop):
        if ops.op[i] == _READ:
            read_viewer(reads, ops.viewer[i], ops.time_ms[i], viewers, out)
            read_video(
                reads, ops.viewer[i], ops.video[i], ops.author[i], ops.time_ms[i],
                viewers, videos, video_counts, author_counts, trend_counts, out,
            )  # fmt: skip
            _copy_history(viewers, ops.viewer[i], past, reads)
            reads += 1
        else:
            apply_event(ops, i, viewers, videos, video_counts, author_counts, trend_counts)
    return reads


@njit(cache=True)
def gather(rows, now_ms, viewers, videos, video_counts, author_counts, trend_counts, out):
    """Read viewer 0 once, and against each video of rows [n] int32, into the blocks.

    The viewer's history may name videos beyond the columns; `rows` may not.
    """
    read_viewer(0, 0, now_ms, viewers, out)
    for i in range(rows.shape[0]):
        video = rows[i]
        read_video(
            i, 0, video, videos.author[video], now_ms,
            viewers, videos, video_counts, author_counts, trend_counts, out,
        )  # fmt: skip


@njit(cache=True)
def count_all(ops, viewers, videos, video_counts, author_counts, trend_counts):
    """Write every event, in order, into every state that it touches."""
    for i in range(ops.op.shape[0]):
        apply_event(ops, i, viewers, videos, video_counts, author_counts, trend_counts)


@njit(cache=True)
def count_viewers(ops, traits, viewers, videos):
    """Write every event, in order, into its viewer's row alone; traits [events]: its video's row of `videos`."""
    gain = np.empty(len(ACTIONS), np.int64)
    pair = np.empty(len(PAIR_ACTIONS), np.int64)
    totals = np.empty(len(TOTALS), np.int64)
    for i in range(ops.op.shape[0]):
        bits = fill_gains(
            ops.op[i], ops.video[i] >= 0, ops.play_ms[i], ops.length_ms[i], ops.long_view[i], ops.click[i],
            gain, pair, totals,
        )  # fmt: skip
        write_viewer(ops, i, viewers, videos, traits[i], gain, pair, bits)


@njit(cache=True)
def count_counters(rows, at, counts):
    """Write every row of a batch, in order, into counters; at [rows, 3]: video, author and trend in `counts`, or -1."""
    gain = np.empty(len(ACTIONS), np.int64)
    pair = np.empty(len(PAIR_ACTIONS), np.int64)
    totals = np.empty(len(TOTALS), np.int64)
    for i in range(rows.op.shape[0]):
        fill_gains(
            rows.op[i], rows.known[i], rows.play_ms[i], rows.length_ms[i], rows.long_view[i], rows.click[i],
            gain, pair, totals,
        )  # fmt: skip
        write_counters(at[i, 0], at[i, 1], at[i, 2], rows.time_ms[i], gain, totals, counts, counts, counts)
