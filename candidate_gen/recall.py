"""How much of what viewers went on to watch a ranking of the catalogue holds."""

from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Float32, Float64, Int32, Int64


@dataclass(frozen=True)
class HeldOut:
    """Viewers' later videos as CSR: `indptr` [viewers + 1], `video` [n]; and what each had `seen` before, alike."""

    indptr: Int64
    video: Int32
    seen_indptr: Int64
    seen: Int32

    def __len__(self) -> int:
        return len(self.indptr) - 1


def without_seen(scores: Float32, held: HeldOut) -> Float32:
    """Scores [viewers, videos] with the videos seen before at the bottom."""
    who = np.repeat(np.arange(len(held)), np.diff(held.seen_indptr))
    cut = scores.copy()
    cut[who, held.seen] = -np.inf
    return cut


def top_rows(scores: Float32, k: int) -> Int32:
    """The k best videos of each viewer, best first; ties by row. [viewers, k] int32"""
    k = min(k, scores.shape[1])
    rows = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    rows.sort(axis=1)
    order = np.argsort(-np.take_along_axis(scores, rows, 1), axis=1, kind="stable")
    return np.take_along_axis(rows, order, 1).astype(np.int32)


def hits(top: Int32, held: HeldOut, videos: int) -> Array:
    """Whether each of the top rows [viewers, k] was watched later. [viewers, k] bool"""
    who = np.repeat(np.arange(len(held), dtype=np.int64), np.diff(held.indptr))
    watched = who * videos + held.video
    return np.isin(np.arange(len(top), dtype=np.int64)[:, None] * videos + top, watched)


def recall_at(top: Int32, held: HeldOut, videos: int, k: int) -> float:
    """Mean over viewers of the share of their later videos among the first k rows."""
    found = hits(top[:, :k], held, videos).sum(axis=1)
    return float(np.mean(found / np.maximum(np.diff(held.indptr), 1))) if len(held) else float("nan")


def ndcg_at(top: Int32, held: HeldOut, videos: int, k: int) -> float:
    """Mean over viewers of the discounted gain of the first k rows, over the best possible."""
    discount: Float64 = 1 / np.log2(np.arange(k) + 2)
    best = np.cumsum(discount)[np.minimum(np.maximum(np.diff(held.indptr), 1), k) - 1]
    gain = hits(top[:, :k], held, videos) @ discount[: top.shape[1]]
    return float(np.mean(gain / best)) if len(held) else float("nan")
