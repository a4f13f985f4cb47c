"""What moves a candidate beside its value: business rules, freshness and fatigue; each one column, each a parameter."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from core.arrays import Array, Float64, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.video_table import PUBLIC, VideoTable
from features.state import state_of
from feeds.boosts import Rule
from feeds.config import ForYouConfig
from feeds.stages import ExplorationScorer

NO_PIN: Final = -1
_PINNED_OF_AUTHOR: Final = 20


class ActiveRules:
    """Rules over a catalogue: what each names, as a row or an author's code; what it does not know has no effect."""

    def __init__(self, rules: Sequence[Rule], table: VideoTable) -> None:
        self._table = table
        named = [(rule, table.row(rule.video), table.authors.code(rule.author)) for rule in rules]
        self._known = [(rule, row, code) for rule, row, code in named if row >= 0 or code > 0]
        self._pinned = [(rule, self._newest(row, code)) for rule, row, code in self._known if rule.slot >= 0]

    def _newest(self, row: int, author: int) -> Int32:
        """The video, or the newest few of the author."""
        if row >= 0:
            return np.array([row], np.int32)
        table = self._table
        rows = np.flatnonzero((table.author == author) & (table.visibility == PUBLIC))
        newest = rows[np.argsort(-table.upload_ms[rows], kind="stable")]
        return np.asarray(newest[:_PINNED_OF_AUTHOR], np.int32)

    def pinned(self, now_ms: int) -> Int32:
        """Rows that have a place now. [n] int32"""
        rows = [found for rule, found in self._pinned if rule.holds(now_ms)]
        return np.unique(np.concatenate(rows)).astype(np.int32) if rows else np.zeros(0, np.int32)

    def columns(self, rows: Int32, author: Int32, now_ms: int) -> tuple[Float64, Int32]:
        """The product of the factors of each, and its place (NO_PIN: none; of two the first rule's). [n], [n] int32"""
        factor, pin = np.ones(len(rows)), np.full(len(rows), NO_PIN, np.int32)
        for rule, row, code in self._known:
            if rule.holds(now_ms):
                named = rows == row if row >= 0 else author == code
                factor[named] *= rule.factor
                if rule.slot >= 0:
                    pin[named & (pin == NO_PIN)] = rule.slot
        return factor, pin


class PinnedSource:
    """The videos that have a place now; filters drop those that this viewer must not see, as they drop any."""

    name = "pinned"

    def __init__(self, rules: ActiveRules) -> None:
        self._rules = rules

    def fetch(self, query: Query) -> Int32:
        """[n] int32"""
        return self._rules.pinned(query.now_ms)


class RulesHydrator:
    """Adds what the business rules say of each candidate."""

    name = "rules"

    def __init__(self, rules: ActiveRules) -> None:
        self._rules = rules

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """boost [n] float64, pin [n] int32"""
        boost, pin = self._rules.columns(batch.rows, batch["author"], query.now_ms)
        return {"boost": boost, "pin": pin}


class FreshnessScorer:
    """More for what was put up lately: the whole weight at once, half of it after each half-life."""

    name = "freshened"

    def __init__(self, config: ForYouConfig) -> None:
        self._weight, self._half_ms = config.freshness_weight, config.freshness_half_life_ms

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        score = np.asarray(batch[ExplorationScorer.name], np.float64)
        if not self._weight:
            return score
        age_ms = np.maximum(query.now_ms - batch["upload_ms"], 0)
        return np.asarray(score + self._weight * np.exp2(-age_ms / self._half_ms))


class FatigueScorer:
    """Less for an author who was shown again and again: the weight for each recent impression beyond the free ones.

    Impressions are the watches that the viewer's history remembers, each halved with every half-life of its age, and
    what was served lately and not watched, which counts whole.
    """

    name = "rested"

    def __init__(self, table: VideoTable, config: ForYouConfig) -> None:
        self._table, self._weight, self._free = table, config.fatigue_weight, config.fatigue_free
        self._half_ms = config.fatigue_half_life_ms

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        score = np.asarray(batch[FreshnessScorer.name], np.float64)
        if not self._weight:
            return score
        author, counts = self._shown(query)
        mine = np.asarray(batch["author"])
        shown = np.where(mine > 0, np.bincount(author, counts, mine.max(initial=0) + 1)[mine], 0.0)
        return np.asarray(score - self._weight * np.maximum(shown - self._free, 0.0))

    def _shown(self, query: Query) -> tuple[Int32, Float64]:
        """The author and the weight of each remembered impression. [n] int32, [n]"""
        state = state_of(query)[0]
        length = int(state["history_len"])
        watched = state["history_video"][:length]
        age_ms = np.maximum(query.now_ms - state["history_time_ms"][:length], 0)
        passed = query.served[~np.isin(query.served, watched)]
        rows = np.concatenate([watched, passed])
        counts = np.concatenate([np.exp2(-age_ms / self._half_ms), np.ones(len(passed))])
        known = rows < len(self._table)
        return np.asarray(self._table.author[rows[known]], np.int32), np.asarray(counts[known])


class BoostScorer:
    """The score with the business rules' factors: a factor f moves it by (f - 1) times its size, up or down."""

    name = "boosted"

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float64"""
        score = np.asarray(batch[FatigueScorer.name], np.float64)
        return np.asarray(score + (batch["boost"] - 1.0) * np.abs(score))
