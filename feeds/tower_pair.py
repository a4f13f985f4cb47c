"""A pair of towers in use: the viewer's side, and the vectors of the whole live catalogue."""

from dataclasses import dataclass

import numpy as np

from candidate_gen.towers import TowerArrays, VideoTower, ViewerTower
from core.arrays import Array, Float32, Int32
from core.query import Query
from core.video_table import VideoTable
from features.state import state_of


@dataclass(slots=True)
class TowerPair:
    """`vectors` [rows, dim + 1] float32, the bias last; new videos are embedded by `extend`."""

    viewer: ViewerTower
    video: VideoTower
    vectors: Float32
    _encoded: tuple[Query, Float32] | None = None  # of the last query, which asks more than once

    @classmethod
    def over(cls, arrays: TowerArrays, table: VideoTable, now_ms: int) -> "TowerPair":
        """The towers with the catalogue embedded as of now."""
        video, rows = VideoTower(arrays), np.arange(len(table), dtype=np.int32)
        return cls(ViewerTower(arrays, video.inputs(table, rows)), video, video.embed(table, rows, now_ms))

    def encode(self, query: Query) -> Float32:
        """The viewer's vector, 1 last. [dim + 1] float32"""
        if self._encoded is not None and self._encoded[0] is query:
            return self._encoded[1]
        record = state_of(query)[0]
        length = int(record["history_len"])
        vector = self.viewer.encode(
            record["history_video"][:length],
            record["history_signal"][:length],
            record["history_time_ms"][:length],
            tower_profile(record["profile"], record["traits"]),
            query.now_ms,
        )
        self._encoded = (query, vector)
        return vector

    def scores(self, query: Query, rows: Int32) -> Float32:
        """Viewer x video inner products, bias included. [rows] float32"""
        return np.asarray(self.vectors[rows] @ self.encode(query), np.float32)

    def extend(self, table: VideoTable, now_ms: int) -> tuple[Int32, Float32]:
        """Embed the videos that were published since: their rows [n] and vectors [n, dim + 1]."""
        rows = np.arange(len(self.vectors), len(table), dtype=np.int32)
        fresh = self.video.embed(table, rows, now_ms)
        if len(rows):
            self.vectors = np.concatenate([self.vectors, fresh])
        return rows, fresh


def tower_profile(profile: Array, traits: Array) -> Int32:
    """The tower's profile codes of a viewer record: region, first language, device, age band, then traits. int32"""
    return np.concatenate([profile[[0, 1, 4, 5]], traits]).astype(np.int32)
