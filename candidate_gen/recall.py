"""How much of what viewers went on to watch a ranking of the catalogue holds."""

from dataclasses import dataclass

import numpy as np
from numba import njit

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

    def part(self, start: int, stop: int) -> "HeldOut":
        """Only the viewers start..stop."""
        own, seen = self.indptr[start : stop + 1], self.seen_indptr[start : stop + 1]
        return HeldOut(own - own[0], self.video[own[0] : own[-1]], seen - seen[0], self.seen[seen[0] : seen[-1]])


def held_out(
    past: Array, later: Array, videos: int, limit: int = 0, rng: np.random.Generator | None = None
) -> tuple[HeldOut, Int32]:
    """What viewers watched later and not before, of pairs viewer * videos + video [n] int64 in any order; of at most
    `limit` viewers, drawn by `rng`, where both are given. Also the viewers, ascending. [viewers] int32"""
    later = np.setdiff1d(later, past)
    viewers = np.unique(later // videos)
    if rng is not None and 0 < limit < len(viewers):
        viewers = np.sort(rng.choice(viewers, limit, replace=False))
        later = later[np.isin(later // videos, viewers)]
    seen = np.unique(past[np.isin(past // videos, viewers)])

    def rows(pairs: Array) -> tuple[Int64, Int32]:
        counts = np.bincount(np.searchsorted(viewers, pairs // videos), minlength=len(viewers))
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), (pairs % videos).astype(np.int32)

    return HeldOut(*rows(later), *rows(seen)), viewers.astype(np.int32)


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


@njit(cache=True)
def _ranks(scores: Float32, indptr: Int64, video: Int32, seen_indptr: Int64, seen: Int32, out: Int64) -> None:
    for row in range(len(indptr) - 1):
        own = scores[row].copy()
        own[seen[seen_indptr[row] : seen_indptr[row + 1]]] = -np.inf
        for at in range(indptr[row], indptr[row + 1]):
            target, better = own[video[at]], 0
            for other in range(len(own)):
                better += own[other] > target or (own[other] == target and other < video[at])
            out[at] = better


def ranks(scores: Float32, held: HeldOut) -> Int64:
    """How many unseen videos of the whole catalogue stand above each later video by scores [viewers, videos]; of equal
    ones the lower row. [n] int64"""
    out = np.zeros(len(held.video), np.int64)
    _ranks(scores, held.indptr, held.video, held.seen_indptr, held.seen, out)
    return out


def recalls(rank: Int64, held: HeldOut, k: int) -> Float64:
    """Each viewer's share of later videos that rank among the first k. [viewers] float64"""
    wanted = np.diff(held.indptr)
    who = np.repeat(np.arange(len(held)), wanted)
    return np.asarray(np.bincount(who, rank < k, minlength=len(held)) / np.maximum(wanted, 1), np.float64)


def ndcgs(rank: Int64, held: HeldOut, k: int) -> Float64:
    """Each viewer's discounted gain of the first k, over the best possible. [viewers] float64"""
    wanted = np.diff(held.indptr)
    who = np.repeat(np.arange(len(held)), wanted)
    gain = np.bincount(who, np.where(rank < k, 1 / np.log2(rank + 2), 0), minlength=len(held))
    best = np.cumsum(1 / np.log2(np.arange(k) + 2))[np.clip(wanted, 1, k) - 1]
    return np.asarray(gain / best, np.float64)
