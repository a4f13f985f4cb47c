"""How good a new video may turn out to be: a draw that all processes share, and that stands for an hour."""

from collections.abc import Mapping
from typing import Protocol
from zlib import crc32

import numpy as np

from core.arrays import Array, Float32, Float64
from core.batch import CandidateBatch
from core.query import Query
from core.video_table import VideoTable
from features.layout import HOUR_MS
from feeds.config import ForYouConfig
from feeds.exploration.new_videos import NewVideos
from feeds.exploration.noise import normals
from feeds.reranking import BoostScorer


class Watches(Protocol):
    """What is asked of a bundle."""

    def watches(self, features: Float32) -> Float64:
        """How often the video of each row of the matrix was watched, decayed. [rows] float64"""
        ...


class NewVideoHydrator:
    """Adds which candidates may be explored."""

    name = "may_explore"

    def __init__(self, new: NewVideos) -> None:
        self._new = new

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """may_explore [n] bool"""
        return {self.name: self._new.allowed(batch.rows)}


class ThompsonScorer:
    """For what may be explored a draw of its value by a Gaussian posterior: around the score, with a deviation that
    falls with the root of its watches (Thompson, 1933; Chapelle and Li, NIPS 2011).

    The random number is a function of the video and the hour alone: what is a good bet is one for everybody that hour.
    """

    name = "thompson"

    def __init__(self, table: VideoTable, models: Watches, config: ForYouConfig) -> None:
        self._table, self._models, self._config = table, models, config

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        score = np.array(batch[BoostScorer.name], np.float64)
        new = np.flatnonzero(batch["may_explore"])
        if not len(new):
            return score
        known = 1.0 + self._models.watches(batch["features"])[new] / self._config.exploration_watches
        ids = self._table.video_ids
        keys = np.array([crc32(ids[row].encode()) for row in batch.rows[new].tolist()], np.uint64)
        score[new] += self._config.exploration_spread * normals(query.now_ms // HOUR_MS, keys) / np.sqrt(known)
        return score
