"""Cross features of many logged impressions at once, by the same functions that serve one request."""

import numpy as np

from candidate_gen.examples import GAP_BOUNDS_MS, Histories
from candidate_gen.item_to_item import Neighbours
from candidate_gen.towers import TowerArrays, VideoTower, ViewerTower
from core.arrays import Array, Float32, Int32
from core.video_table import VideoTable
from features.dataset import Rows
from features.raw import Histories as Past
from feeds.bundle import tower_profile
from feeds.cross import CROSS, history_cross, unit_rows

CHUNK = 16_384


class CrossFeatures:
    """The towers and neighbours of one fit, over a catalogue as of `now_ms`."""

    def __init__(self, arrays: TowerArrays, neighbours: Neighbours, table: VideoTable, now_ms: int) -> None:
        rows = np.arange(len(table), dtype=np.int32)
        video = VideoTower(arrays)
        self.vectors = video.embed(table, rows, now_ms)
        self._viewer = ViewerTower(arrays, video.inputs(table, rows))
        self.history = arrays.history
        self._neighbours = neighbours
        self._content = unit_rows(table.embedding)

    def matrix(self, rows: Rows, index: Array, records: Array) -> Float32:
        """CROSS columns of impressions `index`; `records` are all viewers' records. [index, len(CROSS)] float32"""
        out = np.empty((len(index), len(CROSS)), np.float32)
        for start in range(0, len(index), CHUNK):
            part = index[start : start + CHUNK]
            out[start : start + len(part)] = self._part(rows, part, records)
        return out

    def _part(self, rows: Rows, index: Array, records: Array) -> Float32:
        past, video = rows.histories(index), rows.video[index]
        of = records[rows.viewer[index]]
        vectors = self.viewer_vectors(past, rows.time_ms[index], of)
        out = np.empty((len(index), len(CROSS)), np.float32)
        out[:, 0] = np.einsum("ij,ij->i", vectors, self.vectors[video])
        out[:, 1] = self.vectors[video, -1]
        owner = np.arange(len(index), dtype=np.int32)
        n = self._neighbours
        out[:, 2:] = history_cross(owner, past.video, past.signal, past.length, video, n.rows, n.scores, self._content)
        return out

    def viewer_vectors(self, past: Past, now_ms: Array, records: Array) -> Float32:
        """The tower's vector of each viewer with these histories. [n, dim + 1] float32"""
        profile = np.stack([tower_profile(r["profile"], r["traits"]) for r in records])
        return self.encode(newest_first(past, now_ms, self.history), profile)

    def encode(self, histories: Histories, profile: Int32) -> Float32:
        """The tower's vector of each viewer. [n, dim + 1] float32"""
        return self._viewer.encode_many(histories, profile)


def newest_first(past: Past, now_ms: Array, length: int) -> Histories:
    """Histories stored oldest first as the tower reads them: newest first, -1 padded. [n, length]"""
    n, width = past.video.shape
    position = past.length[:, None] - 1 - np.arange(min(length, width))[None, :]
    known = position >= 0
    at = (np.arange(n)[:, None], np.maximum(position, 0))
    video: Int32 = np.where(known, past.video[at], -1).astype(np.int32)
    signal = np.where(known, past.signal[at], 0).astype(np.uint8)
    gap = np.searchsorted(GAP_BOUNDS_MS, now_ms[:, None] - past.time_ms[at])
    return Histories(video, signal, np.where(known, gap, 0))
