"""Scores of the whole catalogue by each source for many viewers at once, as serving would give them at a moment."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from candidate_gen.blend import CUTS, Blend, blended, fit_weights
from candidate_gen.examples import histories_at
from candidate_gen.interactions import Interactions, signal_weight
from candidate_gen.item_to_item import Neighbours
from candidate_gen.model_sources import EaseSourceConfig
from candidate_gen.recall import HeldOut, held_out, ranks, top_rows, without_seen
from candidate_gen.sources import ItemToItemSource, ItemToItemSourceConfig
from candidate_gen.viewer_view import History
from core.arrays import Array, Float32, Int32, Int64
from core.video_table import VideoTable
from features.layout import DAY_MS, HISTORY
from feeds.tower_pair import TowerPair
from training.retrieval import Retrieval

SOURCES: Final = ("two_tower", "als", "ease", "item_to_item", "popular")
VIEWERS = 3_000
_CHUNK = 1_000
_NO_WEIGHTS = np.zeros(0, np.float32)
_POPULAR_HALF_LIFE_MS = 2 * DAY_MS
_POPULAR_WEIGHTS = (0.3, 1.0, 1.0, 1.0, 0.0, 0.0, 0.5)


class SourceScores:
    """The sources of one fit over the watches before `now_ms`; of a viewer's watches they read the last ones, as many
    as a viewer's record holds."""

    def __init__(self, fit: Retrieval, table: VideoTable, watches: Interactions, now_ms: int) -> None:
        self._fit, self._past, self._now_ms, self._videos = fit, watches.before(now_ms), now_ms, len(table)
        self._towers = TowerPair.over(fit.towers, table, now_ms)
        self._ease = EaseSourceConfig().watches
        self._item = ItemToItemSource(fit.neighbours, ItemToItemSourceConfig())
        self._popular = np.log1p(recent_counts(self._past, self._videos, now_ms)).astype(np.float32)

    def of(self, viewers: Int32) -> dict[str, Float32]:
        """By name of SOURCES, each [viewers, videos] float32."""
        indptr, at = last_watches(self._past.indptr, viewers, HISTORY)
        video, signal, time_ms = self._past.video[at], self._past.signal[at], self._past.time_ms[at]
        spans = [slice(start, stop) for start, stop in pairwise(indptr)]
        each = [self._item.weights(History(video[own], signal[own], time_ms[own])) for own in spans]
        item = np.concatenate([_NO_WEIGHTS, *each])
        return {
            "als": self._fit.als.viewers(indptr, video, signal, time_ms) @ self._fit.als.videos.T,
            "two_tower": self._tower(viewers),
            "ease": lent(self._fit.linear, indptr, video, self._ease.of(indptr, signal, time_ms), self._videos),
            "item_to_item": lent(self._fit.neighbours, indptr, video, item, self._videos),
            "popular": np.broadcast_to(self._popular, (len(viewers), self._videos)),
        }

    def _tower(self, viewers: Int32) -> Float32:
        now = np.full(len(viewers), self._now_ms, np.int64)
        ends = self._past.indptr[viewers + 1]
        histories = histories_at(self._past, viewers, now, ends, self._fit.towers.history)
        vectors = self._towers.viewer.encode_many(histories, self._past.profile[viewers])
        return np.asarray(vectors @ self._towers.vectors.T, np.float32)


def last_watches(indptr: Int64, viewers: Int32, count: int) -> tuple[Int64, Int64]:
    """The positions of at most `count` last watches of each viewer, oldest first, and where each viewer's begin.
    [viewers + 1] int64, [n] int64"""
    stop = indptr[viewers + 1]
    start = np.maximum(indptr[viewers], stop - count)
    bounds = np.concatenate([[0], np.cumsum(stop - start)]).astype(np.int64)
    return bounds, np.arange(bounds[-1]) + np.repeat(start - bounds[:-1], stop - start)


def lent(neighbours: Neighbours, indptr: Int64, video: Int32, weight: Float32, videos: int) -> Float32:
    """What watches [n] with these weights lend every video, by viewer. [viewers, videos] float32"""
    known = neighbours.rows >= 0
    ends = np.concatenate([[0], np.cumsum(known.sum(axis=1))])
    lists = csr_array((neighbours.scores[known], neighbours.rows[known], ends), shape=(len(known), videos))
    history = csr_array((weight, video, indptr), shape=(len(indptr) - 1, len(known)))
    return np.asarray((history @ lists).toarray(), np.float32)


def recent_counts(past: Interactions, videos: int, now_ms: int) -> Array:
    """Weighted watches of each video, halved every two days. [videos] float64"""
    age = 0.5 ** ((now_ms - past.time_ms) / _POPULAR_HALF_LIFE_MS)
    return np.bincount(past.video, signal_weight(past.signal, _POPULAR_WEIGHTS) * age, minlength=videos)


def later_long_views(
    watches: Interactions, viewer: Array, video: Array, now_ms: int, videos: int, rng: np.random.Generator
) -> tuple[HeldOut, Int32]:
    """Of long views [n] from `now_ms` on, those of videos that their viewer had not watched before, of at most VIEWERS
    viewers."""
    past = watches.before(now_ms)
    before = past.viewer().astype(np.int64) * videos + past.video
    return held_out(before, viewer.astype(np.int64) * videos + video, videos, VIEWERS, rng)


def fit_blend(scores: SourceScores, held: HeldOut, viewers: Int32, names: Sequence[str] = SOURCES) -> Blend:
    """The weights of these sources that find most of what the held-out viewers watched later."""
    if not len(held):
        return Blend({name: float(name == names[0]) for name in names})
    found = scores.of(viewers)
    weights, _ = fit_weights([found[name] for name in names], held, CUTS)
    return Blend(dict(zip(names, weights, strict=True)))


def source_ranks(scores: SourceScores, blend: Blend, held: HeldOut, viewers: Int32) -> dict[str, Int64]:
    """The rank of every later video by each source and by the blend, in chunks of viewers. Each [n] int64"""
    parts: dict[str, list[Int64]] = {}
    for start, stop in _chunks(len(viewers)):
        for name, table in with_blend(scores.of(viewers[start:stop]), blend).items():
            parts.setdefault(name, []).append(ranks(table, held.part(start, stop)))
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}


def source_lists(scores: SourceScores, blend: Blend, held: HeldOut, viewers: Int32, count: int) -> dict[str, Int32]:
    """The first unseen videos of each source and of the blend. Each [viewers, count] int32"""
    parts: dict[str, list[Int32]] = {}
    for start, stop in _chunks(len(viewers)):
        for name, table in with_blend(scores.of(viewers[start:stop]), blend).items():
            parts.setdefault(name, []).append(top_rows(without_seen(table, held.part(start, stop)), count))
    return {name: np.concatenate(chunks) for name, chunks in parts.items()}


def with_blend(found: dict[str, Float32], blend: Blend) -> dict[str, Float32]:
    """The sources' scores and, as "blend", their weighted sum. Each [viewers, videos] float32"""
    named = [name for name in found if blend.weights.get(name, 0)]
    return found | {"blend": blended([found[name] for name in named], [blend.weights[name] for name in named])}


def _chunks(size: int) -> Iterator[tuple[int, int]]:
    for start in range(0, size, _CHUNK):
        yield start, min(size, start + _CHUNK)
