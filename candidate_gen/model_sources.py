"""Sources over the whole catalogue's scores: ALS, EASE, and the learned blend of several."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.als import AlsFactors
from candidate_gen.blend import Blend, blended
from candidate_gen.item_to_item import Neighbours
from candidate_gen.sources import ItemToItemSource, ItemToItemSourceConfig
from candidate_gen.viewer_view import History, history_of, withheld
from candidate_gen.watch_weights import WatchWeights
from core.arrays import Float32, Int32
from core.query import Query


class CatalogueScores(Protocol):
    """What can score every video for a viewer."""

    name: str

    def scores(self, query: Query, videos: int) -> Float32:
        """[videos] float32"""
        ...


class NeighbourSource(ItemToItemSource):
    """Item-to-item whose scores are there for a blend too."""

    def __init__(self, neighbours: Neighbours, config: ItemToItemSourceConfig) -> None:
        super().__init__(neighbours, config)
        self._lists = neighbours

    def scores(self, query: Query, videos: int) -> Float32:
        """What the history lends each video. [videos] float32"""
        history = history_of(query)
        known = (history.video >= 0) & (history.video < len(self._lists.rows))
        rows, scores = self._lists.rows[history.video[known]], self._lists.scores[history.video[known]]
        lent = scores * self.weights(history)[known][:, None]
        inside = (rows >= 0) & (rows < videos)
        return np.bincount(rows[inside], lent[inside], minlength=videos).astype(np.float32)


class EaseSourceConfig(BaseModel):
    """What a history's watches weigh in EASE's sum."""

    model_config = ConfigDict(frozen=True)

    quota: int = Field(300, ge=0, description="videos, at most")
    watches: WatchWeights = Field(
        default_factory=lambda: WatchWeights(half_life_ms=10 * 86_400_000), description="of the viewer's history"
    )


class EaseSource(NeighbourSource):
    """What EASE foretells from the viewer's history."""

    name = "ease"

    def __init__(self, linear: Neighbours, config: EaseSourceConfig) -> None:
        super().__init__(linear, ItemToItemSourceConfig(quota=max(config.quota, 1)))
        self._watches = config.watches
        self._quota = config.quota

    def weights(self, history: History) -> Float32:
        """What each watch [h] counts for. [h] float32"""
        return self._watches.of(np.array([0, len(history.video)]), history.signal, history.time_ms)

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        return super().fetch(query)[: self._quota]


class AlsSourceConfig(BaseModel):
    """How many videos the factors give."""

    model_config = ConfigDict(frozen=True)

    quota: int = Field(300, ge=0, description="videos, at most")


class AlsSource:
    """The videos whose ALS factors agree most with those that the viewer's history leads to."""

    name = "als"

    def __init__(self, factors: AlsFactors, config: AlsSourceConfig) -> None:
        self._factors, self._config = factors, config

    def scores(self, query: Query, videos: int) -> Float32:
        """Inner products; 0 for videos that the fit did not know. [videos] float32"""
        history = history_of(query)
        video, signal, time_ms = (np.ascontiguousarray(column) for column in history)
        viewer = self._factors.viewers(np.array([0, len(video)]), video, signal, time_ms)[0]
        scores, known = np.zeros(videos, np.float32), min(videos, len(self._factors.videos))
        scores[:known] = self._factors.videos[:known] @ viewer
        return scores

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        scores = self.scores(query, len(self._factors.videos))
        return _best(np.where(scores > 0, scores, -np.inf), self._config.quota, withheld(query))


class BlendSourceConfig(BaseModel):
    """How many videos the blend gives."""

    model_config = ConfigDict(frozen=True)

    quota: int = Field(800, ge=0, description="videos, at most")


class BlendSource:
    """The videos of the largest weighted sum of the parts' scores over the whole catalogue."""

    name = "blend"

    def __init__(self, parts: Sequence[CatalogueScores], blend: Blend, videos: int, config: BlendSourceConfig) -> None:
        self._parts = [part for part in parts if blend.weights.get(part.name, 0)]
        self._weights = [blend.weights[part.name] for part in self._parts]
        self._videos, self._config = videos, config

    def scores(self, query: Query, videos: int) -> Float32:
        """The weighted sum of standardised scores. [videos] float32"""
        scores = [part.scores(query, videos)[None] for part in self._parts]
        return np.asarray(blended(scores, self._weights)[0], np.float32)

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32; nothing where the blend has no weight"""
        if not self._parts:
            return np.zeros(0, np.int32)
        return _best(self.scores(query, self._videos), self._config.quota, withheld(query))


def _best(scores: Float32, quota: int, gone: Int32) -> Int32:
    """The rows of the `quota` largest finite scores, best first, without those `gone`. [<= quota] int32"""
    scores[gone[gone < len(scores)]] = -np.inf
    rows = np.flatnonzero(np.isfinite(scores))
    if len(rows) > quota:
        rows = np.sort(rows[np.argpartition(-scores[rows], quota)[:quota]])
    return rows[np.argsort(-scores[rows], kind="stable")].astype(np.int32)
