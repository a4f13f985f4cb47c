"""Hydrators, scorers and selectors of the For-You surface."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from core.arrays import Array, Float32, Float64, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.stages import Selection
from core.video_table import VideoTable
from features.layout import LIKE_BIT, NEGATIVE_BIT, SESSION_GAP_MS, STRONG_BIT
from features.logged import READ
from features.state import state_of
from feeds.config import ForYouConfig


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

    def watches(self, features: Float32) -> Float64:
        """How often the video of each row of the matrix was watched, decayed. [rows] float64"""
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
            "visibility": table.visibility_in(rows, query.region),
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
    """Keeps the best by the light score, the first few of every source, and what is pinned."""

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
        if "pin" in batch.columns:
            sure |= batch["pin"] >= 0
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


class ReactionScorer:
    """The value with what the viewer said lately: less of what resembles a video marked as not interesting, more of
    what resembles one liked, shared, saved or commented on in this session.

    The heads have learned from both. This is what the next page owes someone who said so, whatever they learned.
    """

    name = "adjusted"

    def __init__(self, models: Models, config: ForYouConfig, recent: int = 10) -> None:
        self._models, self._config, self._recent = models, config, recent

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        value = np.asarray(batch[ValueScorer.name], np.float64)
        state, begin = state_of(query)[0], session_begin(query)
        length = int(state["history_len"])
        rows, signal = state["history_video"][:length], state["history_signal"][:length]
        disliked = np.append(query.disliked, rows[(signal & NEGATIVE_BIT) > 0][-self._recent :])
        marked = rows[begin:][(signal[begin:] & (LIKE_BIT | STRONG_BIT)) > 0]
        liked = np.append(query.liked, marked[-self._recent :])
        lost, gained = self._likeness(batch, disliked), self._likeness(batch, liked)
        return np.asarray(value - self._config.dislike_weight * lost + self._config.like_weight * gained)

    def _likeness(self, batch: CandidateBatch, rows: Int32) -> Float64:
        """How alike each candidate is to the likest of these rows, 0 to 1. [n]"""
        if not len(rows) or not len(batch):
            return np.zeros(len(batch))
        likeness: Float64 = (
            (batch["content"] @ self._models.content(rows).T).max(axis=1, initial=0.0).astype(np.float64)
        )
        return np.maximum(likeness, 0.0)


class ExplorationScorer:
    """More for a video that few have watched: the less is known of it, the more there is to learn by showing it.

    An upper confidence bound (Auer et al., 2002): what is not known of a mean falls with the root of its watches, to
    which come the `exploration_watches` that an estimate without any is worth.
    """

    name = "explored"

    def __init__(self, models: Models, config: ForYouConfig) -> None:
        self._models, self._config = models, config

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        known = 1.0 + self._models.watches(batch["features"]) / self._config.exploration_watches
        return np.asarray(batch[ReactionScorer.name] + self._config.exploration_weight / np.sqrt(known))


def session_begin(query: Query) -> int:
    """Where this session begins in the viewer's history; its length where it is over."""
    state = state_of(query)[0]
    time_ms = state["history_time_ms"][: int(state["history_len"])]
    gap = np.diff(np.append(time_ms, query.now_ms)) > SESSION_GAP_MS
    return int(np.flatnonzero(gap)[-1]) + 1 if gap.any() else 0
