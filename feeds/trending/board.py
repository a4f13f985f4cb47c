"""Boards: the best videos of a window by score, as docs/trending.md defines it; pure functions of the counts."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array, Bool, Int64
from core.trends import HOUR_MS
from core.video_table import PUBLIC, VideoTable
from feeds.trending.config import Mode, TimeRange, TrendingConfig
from feeds.trending.counts import Counts

_NEVER: Final = -1


@dataclass(frozen=True, slots=True)
class BoardKey:
    """Which board: a region or a category of "" is all of them; `literal` has no time range."""

    mode: Mode = "spec"
    time_range: TimeRange = "24h"
    region: str = ""
    category: str = ""

    @property
    def window(self) -> str:
        """The counts that it is made of."""
        return "points" if self.mode == "literal" else self.time_range


@dataclass(frozen=True, slots=True)
class Board:
    """Videos and their scores, best first, as of `now_ms`."""

    now_ms: int
    video_ids: tuple[str, ...]
    scores: tuple[int, ...]


def make_board(key: BoardKey, counts: Counts, table: VideoTable, now_ms: int, config: TrendingConfig) -> Board:
    """The board of public videos of the region and category; ties by video id."""
    if not len(counts) or not len(table):
        return Board(now_ms, (), ())
    rows = table.rows(counts.video_ids)
    counted = _counted(key, counts, table, rows)
    if key.mode == "literal":
        scores, found = _literal(counts, counted, now_ms, config)
    else:
        scores, found = _by_formula(counts, counted, table.upload_ms[np.maximum(rows, 0)], now_ms, config)
    places = np.flatnonzero(found & (scores >= config.least_points))
    if len(places) > config.keep:  # all that may be among the best, ties of the last place included
        places = places[scores[places] >= -np.partition(-scores[places], config.keep - 1)[config.keep - 1]]
    best = sorted((-int(scores[place]), counts.video_ids[place]) for place in places.tolist())[: config.keep]
    return Board(now_ms, tuple(name for _, name in best), tuple(-score for score, _ in best))


def _counted(key: BoardKey, counts: Counts, table: VideoTable, rows: Array) -> Bool:
    """Which rows of the counts are about public videos of the board's region and category. [rows] bool"""
    shown = (rows >= 0) & (table.visibility[rows] == PUBLIC)
    if key.category:
        shown &= table.topic[rows] == (table.topics.code(key.category) or _NEVER)
    kept = shown[counts.video]
    if key.region:
        code = counts.regions.index(key.region) if key.region in counts.regions else _NEVER
        kept = kept & (counts.region == code)
    return np.asarray(kept)


def _by_formula(
    counts: Counts, counted: Bool, upload_ms: Array, now_ms: int, config: TrendingConfig
) -> tuple[Int64, Bool]:
    """The formula's score of each video, less the decay since the end of the last hour in which anything counted."""
    size, video = len(counts.video_ids), counts.video[counted]
    weights = np.array([config.view_points, config.like_points, config.share_points], np.int64)
    points = np.zeros(size, np.int64)
    np.add.at(points, video, counts.amounts[counted] @ weights)
    last = np.full(size, _NEVER, np.int64)
    np.maximum.at(last, video, counts.hour[counted])
    idle = np.maximum(now_ms - (last + 1) * HOUR_MS, 0) // config.decay_every_ms
    age = np.maximum(now_ms - upload_ms, 0) // HOUR_MS
    scores = points // config.full_units - age * config.age_points - idle * config.decay_points
    return scores, last != _NEVER


def _literal(counts: Counts, counted: Bool, now_ms: int, config: TrendingConfig) -> tuple[Int64, Bool]:
    """The sum of increments, less what was lost in each period; under the least it starts again from nothing.

    Increments stand from the beginning of their hour.
    """
    size = len(counts.video_ids)
    scores, reached, found = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.bool_)
    order = np.argsort(counts.hour[counted], kind="stable")
    video, hour = counts.video[counted][order], counts.hour[counted][order]
    points = counts.amounts[counted][order, 0]
    hours, starts = np.unique(hour, return_index=True)
    ends = np.append(starts[1:], len(hour))[: len(starts)]
    for start_ms, at, end in zip((hours * HOUR_MS).tolist(), starts, ends, strict=True):
        who = np.unique(video[at:end])
        scores[who] = _decayed(scores[who], start_ms - reached[who], config)
        np.add.at(scores, video[at:end], points[at:end])
        reached[who], found[who] = start_ms, True
    return _decayed(scores, now_ms - reached, config), found


def _decayed(scores: Int64, passed_ms: Int64, config: TrendingConfig) -> Int64:
    """Scores after so many milliseconds, 0 where they fell under the least at one of the periods' ends."""
    periods = np.maximum(passed_ms, 0) // config.decay_every_ms
    left = scores - periods * config.decay_points
    return np.where((periods > 0) & (left < config.least_points), 0, left)
