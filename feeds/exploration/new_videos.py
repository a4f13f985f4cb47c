"""Which new videos may be shown to find out how good they are: budgets for videos and creators, a floor, abuse rules.

What was spent is what the counters of impressions say, whatever showed the video; they reach a process some seconds
late, and a budget can be overrun by what is shown meanwhile.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from core.arrays import Array, Bool, Float64, Int32
from core.video_table import PUBLIC
from features.decay import decayed
from features.layout import HOUR_MS, IMPRESSIONS, NEGATIVES, UNIT, VIDEO_HALF_LIVES
from features.raw import VIDEO_QUANTA
from features.state import FeatureState
from feeds.config import ForYouConfig

_HALF = list(VIDEO_HALF_LIVES).index("30d")


@dataclass(frozen=True, slots=True)
class NewVideos:
    """The videos that may be explored: their `rows` [n] int32, and the same as a mask over the catalogue's rows."""

    rows: Int32
    mask: Bool

    @classmethod
    def none(cls) -> "NewVideos":
        """There are none."""
        return cls(np.zeros(0, np.int32), np.zeros(0, np.bool_))

    def allowed(self, rows: Int32) -> Bool:
        """Whether each may be explored; what came since is unknown, and may not. [n] bool"""
        known = rows < len(self.mask)
        return np.asarray(known & self.mask[np.where(known, rows, 0)] if len(self.mask) else known)


def new_videos(state: FeatureState, config: ForYouConfig, now_ms: int) -> NewVideos:
    """The public videos that are young enough, liked well enough, and have impressions left to spend."""
    table = state.table
    age = now_ms - table.upload_ms
    rows = np.flatnonzero((age >= 0) & (age <= config.new_video_ms) & (table.visibility == PUBLIC)).astype(np.int32)
    shown, negatives = _counted(state, rows, IMPRESSIONS, now_ms), _counted(state, rows, NEGATIVES, now_ms)
    author = table.author[rows]
    fit = within_budgets(shown, author, table.upload_ms[rows], config) & (negatives < config.reported_limit)
    mask = np.zeros(len(table), np.bool_)
    mask[rows[fit]] = True
    return NewVideos(rows[fit], mask)


def within_budgets(shown: Float64, author: Int32, upload_ms: Array, config: ForYouConfig) -> Bool:
    """Whether each new video has impressions left, from how often it was `shown` [n]. [n] bool

    Under the floor it always has. Above, while it is under its own budget and its author's new videos together are
    under theirs. All new videos of one who floods have one video's budget between them, and no floor.
    """
    spent = np.bincount(author, shown)[author] if len(author) else np.zeros(0)
    under_floor = shown < config.exposure_floor
    under_budget = (shown < config.video_budget) & (spent < config.creator_budget)
    flood = floods(author, upload_ms, config.flood_uploads)
    return np.asarray(np.where(flood, spent < config.video_budget, under_floor | under_budget))


def floods(author: Int32, upload_ms: Array, uploads: int) -> Bool:
    """Whether the author of each video put up more than `uploads` of these within an hour. [n] bool"""
    order = np.lexsort((upload_ms, author))
    of, at = author[order], upload_ms[order]
    burst = (of[uploads:] == of[:-uploads]) & (at[uploads:] - at[:-uploads] < HOUR_MS)
    return np.isin(author, np.unique(of[uploads:][burst]))


def _counted(state: FeatureState, rows: Int32, action: int, now_ms: int) -> Float64:
    """A counter of some videos, decayed to now with a half-life of 30 days, as a whole number. [n]"""
    counts = state.videos.counts
    return np.rint(_read(counts.counts, counts.steps, rows, VIDEO_QUANTA[_HALF], action, now_ms) / UNIT)


@njit(cache=True)
def _read(counts: Array, steps: Array, rows: Int32, quantum: int, action: int, now_ms: int) -> Array:
    out = np.zeros(len(rows), np.int64)
    for at in range(len(rows)):
        row = rows[at]
        out[at] = decayed(counts[row, _HALF, action], now_ms // quantum - steps[row, _HALF])
    return out
