"""The parts of a query that sources read, as plain arrays."""

from typing import NamedTuple

import numpy as np

from core.arrays import Array, Int32, Int64
from core.query import Query


class History(NamedTuple):
    """A viewer's recent watches, oldest first: `video` [h] int32, `signal` [h] uint8, `time_ms` [h] int64."""

    video: Int32
    signal: Array
    time_ms: Int64


_NONE = History(np.zeros(0, np.int32), np.zeros(0, np.uint8), np.zeros(0, np.int64))


def history_of(query: Query) -> History:
    """The watches in the query's viewer state; empty when there is none."""
    if query.viewer_state is None or len(query.viewer_state) == 0:
        return _NONE
    state = query.viewer_state[0]
    length = int(state["history_len"])
    return History(
        state["history_video"][:length],
        state["history_signal"][:length],
        state["history_time_ms"][:length],
    )


def withheld(query: Query) -> Int32:
    """Rows that will be filtered later, so that a search asks for as many more. [n] int32"""
    return np.unique(np.concatenate([query.seen, query.served])).astype(np.int32)


def spoken_by(query: Query) -> Int32:
    """Codes of the languages that the viewer's profile names; none where it is not known. [n] int32"""
    if query.viewer_state is None or len(query.viewer_state) == 0:
        return np.zeros(0, np.int32)
    codes = query.viewer_state[0]["profile"][1:4]
    return np.asarray(codes[codes > 0], np.int32)
