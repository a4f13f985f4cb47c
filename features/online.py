"""Features at serving: one fused read of raw state for a query and many candidates, then the shared definitions."""

import time
from typing import Final

import numpy as np

from core.arrays import Array, Float32, Int32
from core.query import Query
from core.video_table import Vocabulary
from features.definitions import Reading, matrix
from features.kernels import gather
from features.layout import REGION_STRIDE
from features.logged import READ_DTYPE
from features.raw import Blocks
from features.state import FeatureState, empty_blocks, state_of, viewer_arrays

_VERSIONS: Final = ("video_version", "author_version", "trend_version")
_TRIES: Final = 20
_PAUSE_S: Final = 0.001  # a writer that was put aside in the middle of its rows gets a processor meanwhile


class OnlineFeatures:
    """Computes the feature matrix of a query's candidates from live state."""

    def __init__(self, state: FeatureState, surfaces: Vocabulary, default_surface: int) -> None:
        self._state, self._surfaces, self._default = state, surfaces, default_surface

    def blocks(self, query: Query, rows: Int32) -> Blocks:
        """Raw state of the viewer against each row, decayed to the query's time. first dimension: rows, or one"""
        return blocks_of(self._state, state_of(query), rows, query.now_ms)

    def matrix(self, query: Query, rows: Int32, out: Float32 | None = None) -> Float32:
        """[rows, features] float32, in the order of definitions.FEATURES; written to `out` where given"""
        return matrix(self.reading(query, rows, self.blocks(query, rows)), out)

    def matrix_and_read(self, query: Query, rows: Int32, out: Float32 | None = None) -> tuple[Float32, Array]:
        """The matrix, and for each row what it was read from. [rows, features] float32, [rows] READ_DTYPE

        Another process may write a mapped counter while it is read: a row's versions are taken before the read and
        must be the same, and not negative (being written), after it.
        """
        read = self._read(query, rows)
        for _ in range(_TRIES):
            blocks = self.blocks(query, rows)
            again = self._read(query, rows)
            steady = all((read[name] == again[name]).all() and (read[name] >= 0).all() for name in _VERSIONS)
            read = again
            if steady:
                break
            time.sleep(_PAUSE_S)
        reading = self.reading(query, rows, blocks)
        read["surface"], read["follows"] = reading.surface[0], reading.follows
        return matrix(reading, out), read

    def reading(self, query: Query, rows: Int32, blocks: Blocks) -> Reading:
        """The blocks with the context that the definitions need."""
        table, record = self._state.table, state_of(query)
        surface = self._surfaces.code(query.surface) or self._default
        follows = np.isin(table.author[rows], query.follows)
        return reading_of(self._state, record, rows, query.now_ms, follows, surface, blocks)

    def _read(self, query: Query, rows: Int32) -> Array:
        """Versions and moments of the rows of state behind each video, as they are now. [rows] READ_DTYPE"""
        s, read = self._state, np.zeros(len(rows), READ_DTYPE)
        read["author"] = author = s.table.author[rows]
        read["trend"] = trend = trend_rows_of(s, rows, int(state_of(query)["profile"][0, 0]))
        places = {"video": (s.videos, rows), "author": (s.authors, author), "trend": (s.trends, trend)}
        for name, (counters, at) in places.items():
            read[f"{name}_version"] = counters.records["version"][at]
            read[f"{name}_applied_us"] = counters.records["applied_us"][at]
        return read


def trend_rows_of(state: FeatureState, rows: Int32, region: int) -> Int32:
    """The row of each video's topic in a region, as `reads.trend_row` places it. [rows] int32"""
    return np.asarray(state.table.topic[rows] * REGION_STRIDE + region % REGION_STRIDE, np.int32)


def blocks_of(state: FeatureState, record: Array, rows: Int32, now_ms: int) -> Blocks:
    """Raw state of one viewer's record [1] VIEWER_DTYPE against each video, decayed to a moment."""
    blocks = empty_blocks(len(rows), 1)
    counts = (state.videos.counts, state.authors.counts, state.trends.counts)
    gather(rows, now_ms, viewer_arrays(record), state.video_columns(), *counts, blocks)
    return blocks


def reading_of(
    state: FeatureState, record: Array, rows: Int32, now_ms: int, follows: Array, surface: int, blocks: Blocks
) -> Reading:
    """The blocks with the catalogue's columns, the viewer's codes and the request's context."""
    table = state.table
    return Reading(
        blocks=blocks,
        now_ms=np.array([now_ms], np.int64),
        upload_ms=table.upload_ms[rows],
        length_ms=table.length_ms[rows],
        language=table.language[rows],
        region=table.region[rows],
        cluster=table.cluster[rows],
        profile=record["profile"],
        traits=record["traits"],
        follows=follows,
        surface=np.array([surface], np.int32),
    )
