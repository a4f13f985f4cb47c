"""Joins feedback to what it answers: each feedback belongs to the latest anchor of the same viewer and video."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

from collections.abc import Iterator

import numpy as np
from numba import njit

from core.arrays import Array
from core.room import BLOCK, MEMORY, Room
from features.columns import EventColumns
from features.layout import DAY_MS


@njit(cache=True)
def _attach(order, viewer, video, time_ms, op, anchor_op, watch_op, window_ms, bits, watch):
    anchor = -1
    for k in range(order.shape[0]):
        i = order[k]
        if k == 0 or viewer[i] != viewer[order[k - 1]] or video[i] != video[order[k - 1]]:
            anchor = -1
        if op[i] == anchor_op:
            anchor = i
        elif anchor >= 0 and time_ms[i] - time_ms[anchor] <= window_ms:
            bits[anchor] |= np.int32(1) << op[i]
            if op[i] == watch_op and watch[anchor] < 0:
                watch[anchor] = i


def attach(
    events: EventColumns, anchor_op: int, watch_op: int, window_ms: int = DAY_MS, room: Room = MEMORY
) -> tuple[Array, Array]:
    """For each event that is an anchor: which operations followed it, as bits [events] int32, and the index of
    the watch that did [events] int64 (-1: none). Feedback counts up to `window_ms` after its anchor."""
    bits = room.empty(len(events), np.int32)
    watch = room.empty(len(events), np.int64)
    watch[:] = -1
    columns = (events.viewer, events.video, events.time_ms, events.op)
    for at in _of_viewers(events.viewer):
        part = [np.asarray(column[at]) for column in columns]
        viewer, video, time_ms, op = part
        order = np.lexsort((events.offset[at], -(op == anchor_op).astype(np.int8), time_ms, video, viewer))
        order = order[video[order] >= 0]
        own_bits, own_watch = np.zeros(len(op), np.int32), np.full(len(op), -1, np.int64)
        _attach(order, viewer, video, time_ms, op, anchor_op, watch_op, window_ms, own_bits, own_watch)
        bits[at] = own_bits
        watch[at] = own_watch if isinstance(at, slice) else np.where(own_watch >= 0, at[own_watch], -1)
    return bits, watch


def _of_viewers(viewer: Array, block: int = BLOCK) -> Iterator[Array | slice]:
    """All events, some viewers' at a time, about so many."""
    if len(viewer) <= block:
        yield slice(None)
        return
    ends = np.cumsum(np.bincount(viewer))
    group = ends // block
    for number in np.unique(group):
        first, last = np.searchsorted(group, [number, number + 1])
        yield np.flatnonzero((viewer >= first) & (viewer < last))
