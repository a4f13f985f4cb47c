"""The kernels that both drivers share: one ordered pass of reads and writes over raw feature state.

Integer arithmetic and IEEE additions and products only, in one order, so that every machine, and both
drivers, get the same bits.
"""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201, ANN202

from numba import njit

from features.layout import OP
from features.reads import read_video, read_viewer
from features.writes import apply_event

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
    """Read viewer 0 once, and against each video of rows [n] int32, into the blocks."""
    read_viewer(0, 0, now_ms, viewers, out)
    for i in range(rows.shape[0]):
        video = rows[i]
        read_video(
            i, 0, video, videos.author[video], now_ms,
            viewers, videos, video_counts, author_counts, trend_counts, out,
        )  # fmt: skip
