"""Co-engagement neighbours: videos that the same viewers watched close together."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.interactions import Interactions, signal_weight
from core.arrays import Array, Float32, Float64, Int32, Int64, pack, unpack


class ItemToItemConfig(BaseModel):
    """How neighbours are counted, and how a history is turned into scores."""

    model_config = ConfigDict(frozen=True)

    neighbours: int = Field(50, description="neighbours kept for each video")
    window: int = Field(50, description="later watches of the viewer that a watch is paired with")
    half_life_ms: int = Field(10 * 86_400_000, description="time apart that halves a pair, ms")
    damping: float = Field(0.8, description="power of the video's own weight; 0.5 = cosine")
    target_damping: float = Field(0.45, description="power of the neighbour's weight; 0.5 = cosine")
    shrink: float = Field(5.0, description="added to each video's weight before damping")
    signal_weights: tuple[float, float, float, float, float, float, float] = Field(
        (0.5, 1.0, 1.2, 1.2, 0.3, 0.0, 0.6),
        description="weight of a watch: no flag, long view, like, strong, skip, negative, click",
    )


@dataclass(frozen=True)
class Neighbours:
    """For each video its nearest ones, best first: `rows` [videos, k] int32 (-1 = none) and `scores` float32."""

    rows: Int32
    scores: Float32

    def to_bytes(self) -> bytes:
        """An npz archive."""
        return pack({"rows": self.rows, "scores": self.scores})

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Neighbours":
        """What `to_bytes` wrote."""
        arrays, _ = unpack(raw)
        return cls(arrays["rows"], arrays["scores"])

    @classmethod
    def none(cls) -> "Neighbours":
        """Neighbours of no video."""
        return cls(np.zeros((0, 1), np.int32), np.zeros((0, 1), np.float32))

    def score(self, video: Int32, weight: Float32) -> tuple[Int32, Float32]:
        """Every neighbour of the videos [h], best first, each with the sum of weight x score."""
        known = (video >= 0) & (video < len(self.rows))
        rows = self.rows[video[known]]
        scores = (self.scores[video[known]] * weight[known][:, None])[rows >= 0]
        found, slot = np.unique(rows[rows >= 0], return_inverse=True)
        total = np.bincount(slot, scores, minlength=len(found)).astype(np.float32)
        order = np.argsort(-total, kind="stable")
        return found[order].astype(np.int32), total[order]


@njit(cache=True)
def _pairs_of(
    video: int,
    holders: Int64,
    viewer_end: Int64,
    viewer_start: Int64,
    watched: Int32,
    time_ms: Int64,
    weight: Float64,
    window: int,
    half_life_ms: float,
    total: Float64,
    touched: Int32,
) -> int:
    """Adds up the pairs of one video into `total`; how many videos `touched` names."""
    count = 0
    for at in holders:
        low = max(viewer_start[at], at - window)
        for other in range(low, min(viewer_end[at], at + window + 1)):
            if watched[other] == video or weight[other] <= 0:
                continue
            apart = abs(time_ms[other] - time_ms[at])
            if total[watched[other]] == 0:
                touched[count] = watched[other]
                count += 1
            total[watched[other]] += weight[at] * weight[other] * 0.5 ** (apart / half_life_ms)
    return count


@njit(cache=True)
def _neighbours(
    order: Int64,
    indptr: Int64,
    start: Int64,
    end: Int64,
    watched: Int32,
    time_ms: Int64,
    weight: Float64,
    norm: Float64,
    target_norm: Float64,
    window: int,
    half_life_ms: float,
    out_rows: Int32,
    out_scores: Float32,
) -> None:
    videos, k = out_rows.shape
    total, touched = np.zeros(videos), np.zeros(videos, np.int32)
    for video in range(videos):
        holders = order[indptr[video] : indptr[video + 1]]
        count = _pairs_of(video, holders, end, start, watched, time_ms, weight, window, half_life_ms, total, touched)
        found = touched[:count]
        scores = total[found] / (norm[video] * target_norm[found])
        best = np.argsort(-scores, kind="mergesort")[:k]
        out_rows[video, : len(best)] = found[best]
        out_scores[video, : len(best)] = scores[best]
        total[found] = 0


def neighbours_of(watches: Interactions, videos: int, config: ItemToItemConfig) -> Neighbours:
    """Neighbours from pairs of one viewer's watches: sum of w_a w_b 2^(-|t_a - t_b| / half life), over the damped
    weights of both videos (damping 0.5 is the cosine of Linden et al., 2003)."""
    weight = signal_weight(watches.signal, config.signal_weights)
    holders = np.flatnonzero(weight > 0)
    order = holders[np.argsort(watches.video[holders], kind="stable")]
    indptr = np.zeros(videos + 1, np.int64)
    np.cumsum(np.bincount(watches.video[holders], minlength=videos), out=indptr[1:])
    lengths = np.diff(watches.indptr)
    start, end = (np.repeat(bound, lengths) for bound in (watches.indptr[:-1], watches.indptr[1:]))
    mass: Array = np.bincount(watches.video, weight**2, minlength=videos)
    norm, target_norm = ((mass + config.shrink) ** power for power in (config.damping, config.target_damping))
    rows = np.full((videos, config.neighbours), -1, np.int32)
    scores = np.zeros((videos, config.neighbours), np.float32)
    _neighbours(
        order, indptr, start, end, watches.video, watches.time_ms, weight, norm, target_norm,
        config.window, float(config.half_life_ms), rows, scores,
    )  # fmt: skip
    return Neighbours(rows, scores)
