"""Cross features of many logged impressions at once, by the same functions that serve one request."""

import numpy as np

from candidate_gen.examples import GAP_BOUNDS_MS, Histories
from core.arrays import Array, Float32, Int32
from core.video_table import VideoTable
from features.dataset import Rows
from features.raw import Histories as Past
from feeds.cross import CROSS, HISTORY_FROM, history_cross, unit_rows
from feeds.tower_pair import TowerPair, tower_profile
from training.retrieval import Retrieval

CHUNK = 16_384


class CrossFeatures:
    """The towers and neighbours of one fit, over a catalogue as of `now_ms`."""

    def __init__(self, fit: Retrieval, table: VideoTable, now_ms: int) -> None:
        self.towers = TowerPair.over(fit.towers, table, now_ms)
        self._affinity = TowerPair.over(fit.affinity, table, now_ms)
        self.history = fit.towers.history
        self.neighbours = fit.neighbours
        self._content = unit_rows(table.embedding)
        self._lengths, self._length_ms = fit.lengths, table.length_ms

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
        profile = np.stack([tower_profile(r["profile"], r["traits"]) for r in of])
        histories = newest_first(past, rows.time_ms[index], self.history)
        out = np.empty((len(index), len(CROSS)), np.float32)
        for column, pair in ((0, self.towers), (2, self._affinity)):
            vectors = pair.viewer.encode_many(histories, profile)
            out[:, column] = np.einsum("ij,ij->i", vectors, pair.vectors[video])
        out[:, 1] = self.towers.vectors[video, -1]
        owner = np.arange(len(index), dtype=np.int32)
        n = self.neighbours
        out[:, 3] = rows.position[index]
        out[:, 4] = self._lengths.lift(
            owner, past.video, past.signal, past.time_ms, past.length, rows.time_ms[index], self._length_ms[video],
            self._length_ms,
        )  # fmt: skip
        out[:, HISTORY_FROM:] = history_cross(
            owner, past.video, past.signal, past.length, video, n.rows, n.scores, self._content
        )
        return out


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
