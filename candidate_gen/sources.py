"""The sources of candidates: each gives rows of the video table, best first, at most its quota."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.boards import Board
from candidate_gen.index import VideoIndex
from candidate_gen.interactions import signal_weight
from candidate_gen.item_to_item import Neighbours
from candidate_gen.towers import ViewerTower
from candidate_gen.viewer_view import History, history_of, spoken_by, withheld
from core.arrays import Float32, Int32
from core.query import Query
from core.video_table import VideoTable, Vocabulary


class TwoTowerSourceConfig(BaseModel):
    """How many videos the two-tower search gives."""

    model_config = ConfigDict(frozen=True)

    quota: int = Field(800, ge=1, description="videos, at most")
    withheld_cap: int = Field(1000, ge=0, description="extra videos searched for those already seen")


class TwoTowerSource:
    """The videos whose vectors agree most with the viewer's."""

    name = "two_tower"

    def __init__(self, tower: ViewerTower, index: VideoIndex, config: TwoTowerSourceConfig) -> None:
        self._tower, self._index, self._config = tower, index, config

    def vector(self, query: Query) -> Float32:
        """The viewer's vector. [dim + 1] float32"""
        profile = self._tower.codes(query.profile)
        return self._tower.encode(*history_of(query), profile, query.now_ms)

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        gone = withheld(query)
        k = self._config.quota + min(len(gone), self._config.withheld_cap)
        rows, _ = self._index.search(self.vector(query), k)
        return rows[~np.isin(rows, gone)][: self._config.quota]


class ItemToItemSourceConfig(BaseModel):
    """How a history is turned into neighbours."""

    model_config = ConfigDict(frozen=True)

    quota: int = Field(500, ge=1, description="videos, at most")
    decay: float = Field(0.98, gt=0, le=1, description="weight of a watch by its rank, newest first")
    signal_weights: tuple[float, float, float, float, float, float, float] = Field(
        (0.7, 1.0, 1.2, 1.2, 0.3, -1.0, 0.8),
        description="weight of a watch: no flag, long view, like, strong, skip, negative, click",
    )


class ItemToItemSource:
    """Neighbours of the videos that the viewer watched last."""

    name = "item_to_item"

    def __init__(self, neighbours: Neighbours, config: ItemToItemSourceConfig) -> None:
        self._neighbours, self._config = neighbours, config

    def weights(self, history: History) -> Float32:
        """What each watch [h] counts for. [h] float32"""
        rank = np.arange(len(history.video) - 1, -1, -1)
        signal = signal_weight(history.signal, self._config.signal_weights)
        return (signal * self._config.decay**rank).astype(np.float32)

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        history = history_of(query)
        rows, scores = self._neighbours.score(history.video, self.weights(history))
        keep = (scores > 0) & ~np.isin(rows, withheld(query))
        return rows[keep][: self._config.quota]


class BoardSourceConfig(BaseModel):
    """How much of a board is given."""

    model_config = ConfigDict(frozen=True)

    quota: int = Field(300, ge=0, description="videos, at most")
    local_share: float = Field(0.5, ge=0, le=1, description="share of the quota from the own region")


class BoardSource:
    """The top of a board that the viewer has not seen."""

    name = "board"

    def __init__(self, board: Board, regions: Vocabulary, config: BoardSourceConfig) -> None:
        self._board, self._regions, self._config = board, regions, config

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        gone = withheld(query)
        region, quota = self._regions.code(query.region), self._config.quota
        rows = self.board(query, region).rows(region, quota + len(gone), self._config.local_share)
        return rows[~np.isin(rows, gone)][:quota]

    def board(self, query: Query, region: int) -> Board:
        """The board that this viewer's rows are taken from."""
        return self._board


class PopularSource(BoardSource):
    """What is watched most now, in the viewer's region first."""

    name = "popular"


class PromisingSource(BoardSource):
    """What may be the best, by how it was watched and by what is not known of it, in the viewer's region first; of the
    languages that the viewer speaks, where those are known."""

    name = "promising"

    def __init__(self, board: Board, table: VideoTable, config: BoardSourceConfig) -> None:
        super().__init__(board, table.regions, config)
        self._table = table

    def board(self, query: Query, region: int) -> Board:
        """The board without what the viewer does not understand; a video without a language stays."""
        spoken = spoken_by(query)
        if not len(spoken):
            return self._board
        understood = np.append(spoken, 0)
        return self._board.only(region, lambda rows: np.isin(self._table.language[rows], understood))


class FreshSource(BoardSource):
    """The newest videos, in the viewer's region first."""

    name = "fresh"
