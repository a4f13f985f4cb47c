"""The sources of the For-You surface over a bundle, with boards that follow the counters."""

import numpy as np
from numba import njit

from candidate_gen.boards import fresh_board, ranked_board
from candidate_gen.model_sources import (
    AlsSource,
    AlsSourceConfig,
    BlendSource,
    BlendSourceConfig,
    EaseSource,
    EaseSourceConfig,
    NeighbourSource,
)
from candidate_gen.sources import (
    BoardSourceConfig,
    FreshSource,
    ItemToItemSourceConfig,
    PopularSource,
    PromisingSource,
    TwoTowerSource,
    TwoTowerSourceConfig,
)
from core.arrays import Array, Float32, Float64
from core.query import Query
from core.stages import Source
from core.video_table import PUBLIC
from features.decay import decayed
from features.definitions import PRIOR
from features.layout import DAY_MS, RATIO, UNIT, VIDEO_HALF_LIVES, WATCHES
from features.raw import VIDEO_QUANTA
from features.state import FeatureState
from feeds.bundle import Bundle
from feeds.config import ForYouConfig

FRESH_AGE_MS = 7 * DAY_MS
_TWO_DAYS, _THIRTY_DAYS = (list(VIDEO_HALF_LIVES).index(name) for name in ("2d", "30d"))
PROMISING_SIZE = 3_000


class BundleTowerSource(TwoTowerSource):
    """The two-tower search with the viewer's recorded state."""

    def __init__(self, bundle: Bundle, config: TwoTowerSourceConfig) -> None:
        super().__init__(bundle.towers.viewer, bundle.index, config)
        self._bundle = bundle

    def vector(self, query: Query) -> Float32:
        """The viewer's vector. [dim + 1] float32"""
        return self._bundle.towers.encode(query)

    def scores(self, query: Query, videos: int) -> Float32:
        """The search without an index. [videos] float32"""
        return np.asarray(self._bundle.towers.vectors[:videos] @ self.vector(query), np.float32)


class PopularScores:
    """What is watched most now, alike for everybody."""

    name = "popular"

    def __init__(self, watched: Float64) -> None:
        self._scores = np.log1p(watched).astype(np.float32)

    def scores(self, query: Query, videos: int) -> Float32:
        """[videos] float32"""
        return self._scores[:videos]


def for_you_sources(bundle: Bundle, state: FeatureState, config: ForYouConfig, now_ms: int) -> tuple[Source, ...]:
    """Two towers, neighbours, ALS, EASE and their blend, the newest, the most watched and the most promising, with the
    boards as of now."""
    table = state.table
    public = table.visibility == PUBLIC
    watched = watched_lately(state, now_ms)
    popular = ranked_board(watched, table.region, len(table), public)
    hopes = promise(state, now_ms, config)
    promising = ranked_board(hopes, table.region, PROMISING_SIZE, public)
    fresh = fresh_board(table.upload_ms, table.region, now_ms, FRESH_AGE_MS, 5_000, public)
    towers = BundleTowerSource(bundle, TwoTowerSourceConfig(quota=config.two_tower_quota))
    near = NeighbourSource(bundle.neighbours, ItemToItemSourceConfig(quota=config.item_to_item_quota))
    als = AlsSource(bundle.als, AlsSourceConfig(quota=config.als_quota))
    ease = EaseSource(bundle.linear, EaseSourceConfig(quota=config.ease_quota))
    parts = (als, towers, ease, near, PopularScores(watched))
    return (
        towers,
        near,
        FreshSource(fresh, table.regions, BoardSourceConfig(quota=config.fresh_quota)),
        PopularSource(popular, table.regions, BoardSourceConfig(quota=config.popular_quota)),
        als,
        ease,
        BlendSource(parts, bundle.blend, len(bundle.towers.vectors), BlendSourceConfig(quota=config.blend_quota)),
        PromisingSource(promising, table, BoardSourceConfig(quota=config.promising_quota)),
    )


def watched_lately(state: FeatureState, now_ms: int) -> Float64:
    """Watch ratios added up over about two days, above 0 for every video so that a board ranks them all. [videos]"""
    ratios = _counted(state, _TWO_DAYS, RATIO, now_ms)
    return np.asarray(ratios + 1e-6 / (1 + np.arange(len(ratios))))


def promise(state: FeatureState, now_ms: int, config: ForYouConfig) -> Float64:
    """Mean watch ratio, pulled to the prior as by `exploration_watches`, with what is not known of it: `promising_hope`
    where nobody has watched, less with the root of the watches. [videos]"""
    known = config.exploration_watches
    ratios, watches = (_counted(state, _THIRTY_DAYS, action, now_ms) for action in (RATIO, WATCHES))
    mean = (ratios + known * PRIOR["ratio"]) / (watches + known)
    return np.asarray(mean + config.promising_hope / np.sqrt(1 + watches / known))


def _counted(state: FeatureState, half: int, action: int, now_ms: int) -> Float64:
    """A counter of every video of the catalogue, decayed to now. [videos]"""
    counts = state.videos.counts
    column = _column(counts.counts, counts.steps, VIDEO_QUANTA, half, action, now_ms, len(state.table))
    return np.asarray(column / UNIT)


@njit(cache=True)
def _column(counts: Array, steps: Array, quanta: Array, half: int, action: int, now_ms: int, n: int) -> Array:
    out = np.zeros(n, np.int64)
    for row in range(n):
        out[row] = decayed(counts[row, half, action], now_ms // quanta[half] - steps[row, half])
    return out
