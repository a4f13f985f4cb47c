"""Joins feedback to what it answers: each feedback belongs to the latest anchor of the same viewer and video."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

import numpy as np
from numba import njit

from core.arrays import Array
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


def attach(events: EventColumns, anchor_op: int, watch_op: int, window_ms: int = DAY_MS) -> tuple[Array, Array]:
    """For each event that is an anchor: which operations followed it, as bits [events] int32, and the index of
    the watch that did [events] int64 (-1: none). Feedback counts up to `window_ms` after its anchor."""
    bits = np.zeros(len(events), np.int32)
    watch = np.full(len(events), -1, np.int64)
    is_anchor = (events.op == anchor_op).astype(np.int8)
    order = np.lexsort((events.offset, -is_anchor, events.time_ms, events.video, events.viewer))
    order = order[events.video[order] >= 0]
    _attach(
        order,
        events.viewer,
        events.video,
        events.time_ms,
        events.op,
        anchor_op,
        watch_op,
        window_ms,
        bits,
        watch,
    )
    return bits, watch
