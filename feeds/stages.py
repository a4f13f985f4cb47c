"""Hydrators, scorers and selectors of the For-You surface."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from core.arrays import Array, Float32, Float64, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.stages import Selection
from core.video_table import VideoTable
from features.layout import NEGATIVE_BIT, SESSION_GAP_MS
from features.logged import READ
from features.state import state_of
from feeds.config import ForYouConfig
from feeds.diversity import diverse_order


class Models(Protocol):
    """What the stages ask of a bundle."""

    def tower_scores(self, query: Query, rows: Int32) -> Float32:
        """Viewer x video inner products, bias included. [rows] float32"""
        ...

    def features_and_read(self, query: Query, rows: Int32, tower: Float32) -> tuple[Float32, Array]:
        """The ranker's matrix, and which state each row was computed from. [rows, features] float32, [rows] records"""
        ...

    def values(self, features: Float32) -> Float64:
        """The value of each row of the matrix. [rows] float64"""
        ...

    def content(self, rows: Int32) -> Float32:
        """Unit vectors by which videos are compared. [rows, dim] float32"""
        ...


class CatalogueHydrator:
    """Adds the catalogue's columns, so that later stages depend on the batch alone."""

    name = "catalogue"

    def __init__(self, table: VideoTable) -> None:
        self._table = table

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """author, topic, visibility, length_ms, upload_ms [n]"""
        table, rows = self._table, batch.rows
        return {
            "author": table.author[rows],
            "topic": table.topic[rows],
            "visibility": table.visibility[rows],
            "length_ms": table.length_ms[rows],
            "upload_ms": table.upload_ms[rows],
        }


class TowerHydrator:
    """Adds the two-tower score."""

    name = "tower"

    def __init__(self, models: Models) -> None:
        self._models = models

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """tower [n] float32"""
        return {"tower": self._models.tower_scores(query, batch.rows)}


class PreRankScorer:
    """A light score: the two-tower's, with a step for every further source that found the video."""

    name = "pre_rank"

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        sources = np.bitwise_count(batch.source_mask).astype(np.float64)
        return np.asarray(batch["tower"], np.float64) + 0.5 * (sources - 1)


class PreRankSelector:
    """Keeps the best by the light score, and the first few of every source."""

    name = "pre_rank_keep"

    def __init__(self, config: ForYouConfig, guaranteed: int = 30) -> None:
        self._keep, self._guaranteed = config.pre_rank_keep, guaranteed

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= pre_rank_keep] by falling score"""
        score = batch[PreRankScorer.name]
        order = np.argsort(-score, kind="stable").astype(np.int32)
        if len(order) <= self._keep:
            return Selection(order)
        sure = np.zeros(len(batch), np.bool_)
        for source in np.unique(batch.source):
            sure[np.flatnonzero(batch.source == source)[: self._guaranteed]] = True
        merged = np.concatenate([order[sure[order]], order[~sure[order]]])[: self._keep]
        return Selection(merged[np.argsort(-score[merged], kind="stable")])


class FeatureHydrator:
    """Adds the ranker's feature matrix."""

    name = "features"

    def __init__(self, models: Models) -> None:
        self._models = models

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """features [n, features] float32, read [n] features.logged.READ_DTYPE, content [n, dim] float32"""
        features, read = self._models.features_and_read(query, batch.rows, batch["tower"])
        return {"features": features, READ: read, "content": self._models.content(batch.rows)}


class ValueScorer:
    """Heads x weights: the one number by which videos are ordered."""

    name = "value"

    def __init__(self, models: Models) -> None:
        self._models = models

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        return self._models.values(batch["features"])


class ValueRankHydrator:
    """Adds each candidate's rank by value, so that an explanation can tell what re-ranking moved."""

    name = "value_rank"

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """value_rank [n] int32, 0 is best"""
        rank = np.empty(len(batch), np.int32)
        rank[np.argsort(-batch[ValueScorer.name], kind="stable")] = np.arange(len(batch), dtype=np.int32)
        return {"value_rank": rank}


class DislikeScorer:
    """The value less what resembles a video that the viewer lately marked as not interesting."""

    name = "adjusted"

    def __init__(self, models: Models, config: ForYouConfig, recent: int = 10) -> None:
        self._models, self._weight, self._recent = models, config.dislike_weight, recent

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        value = np.asarray(batch[ValueScorer.name], np.float64)
        state = state_of(query)[0]
        length = int(state["history_len"])
        marked = (state["history_signal"][:length] & NEGATIVE_BIT) > 0
        disliked = state["history_video"][:length][marked][-self._recent :]
        if not len(disliked) or not len(batch):
            return value
        likeness = batch["content"] @ self._models.content(disliked).T
        return np.asarray(value - self._weight * np.maximum(likeness.max(axis=1, initial=0.0), 0.0))


class DiversitySelector:
    """Chooses the page: value, an author cap, and a price for repeats among what was watched lately and the page."""

    name = "diversity"

    def __init__(self, table: VideoTable, config: ForYouConfig) -> None:
        self._table, self._config = table, config

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= limit] in page order"""
        c, watched = self._config, self._watched(query)
        order = diverse_order(
            batch[DislikeScorer.name],
            batch["author"],
            batch["topic"],
            batch["content"],
            query.limit,
            c.author_cap,
            c.similarity_weight,
            c.topic_weight,
            c.author_weight,
            watched_author=self._table.author[watched],
            watched_topic=self._table.topic[watched],
        )
        return Selection(order)

    def _watched(self, query: Query) -> Int32:
        """The rows that this session has watched, oldest first; those unknown here are left out. [<= HISTORY] int32"""
        state = state_of(query)[0]
        length = int(state["history_len"])
        rows, time_ms = state["history_video"][:length], state["history_time_ms"][:length]
        gap = np.diff(np.append(time_ms, query.now_ms)) > SESSION_GAP_MS
        begin = int(np.flatnonzero(gap)[-1]) + 1 if gap.any() else 0
        rows = rows[begin:]
        return np.asarray(rows[rows < len(self._table)], np.int32)
