"""Whether features know the answer: with outcomes permuted within each viewer's day there is nothing left to learn, and
a model that still ranks a viewer's list, forwards or backwards, has seen its labels."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import lightgbm as lgb
import numpy as np

from core.arrays import Array, Float32
from features.batch import BatchDriver
from features.columns import EventColumns
from features.dataset import Rows
from features.layout import OP
from training.metrics import grouped_auc, viewer_resamples
from training.protocol import Fold, frozen, frozen_until, lists
from training.split import day_of

OBJECTIVES: Final = ("binary", "lambdarank")
_OUTCOME: Final = ("play_ms", "long_view", "click")
_TREES: Final = 60
_SETTINGS: Final = {
    "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 50, "deterministic": True, "force_row_wise": True,
    "verbosity": -1,
}  # fmt: skip

Matrix = Callable[[Rows], Float32]


@dataclass(frozen=True, slots=True)
class LeakReport:
    """GAUC under one objective, for each permutation, with the standard error of one of them (viewers resampled)."""

    objective: str
    gauc: tuple[float, ...]
    standard_error: float

    @property
    def mean(self) -> float:
        """Over the permutations."""
        return float(np.mean(self.gauc))

    @property
    def clean(self) -> bool:
        """The mean is within two standard errors of one half, from either side."""
        return abs(self.mean - 0.5) <= 2 * self.standard_error / math.sqrt(len(self.gauc))


def permuted(events: EventColumns, day: Array, rng: np.random.Generator) -> EventColumns:
    """The events with the outcomes of watches exchanged among those of one viewer and day [events]; times stay."""
    at = np.flatnonzero(events.op == OP["watch"])
    group = lists(events.viewer[at], day[at])
    order, drawn = np.argsort(group, kind="stable"), np.lexsort((rng.random(len(at)), group))
    changed = {name: getattr(events, name).copy() for name in _OUTCOME}
    for name, column in changed.items():
        column[at[order]] = getattr(events, name)[at[drawn]]
    return replace(events, **changed)


def leak_check(
    driver: BatchDriver,
    fold: Fold,
    matrix: Matrix,
    utc_offset_h: float,
    permutations: int,
    seed: int,
    live: bool = False,
) -> list[LeakReport]:
    """Each objective on a day of permuted outcomes, replayed each time; `fold` numbers the impressions in time order.

    `live` leaves the viewer's state running, to show what a leak looks like. The driver's events are put back.
    """
    rng, found = np.random.default_rng(seed), {objective: list[float]() for objective in OBJECTIVES}
    errors: dict[str, float] = {}
    for rows in _replays(driver, utc_offset_h, permutations, live, rng):
        values, group = matrix(rows), lists(rows.viewer, day_of(rows.time_ms, utc_offset_h))
        label = np.nan_to_num(rows.labels["long_view"])
        for objective in OBJECTIVES:
            score = ranked(objective, values, label, group, fold)
            test = fold.test
            found[objective].append(grouped_auc(label[test], score, group[test]))
            if objective not in errors:
                errors[objective] = _error(label[test], score, group[test], rows.viewer[test], rng)
    return [LeakReport(objective, tuple(found[objective]), errors[objective]) for objective in OBJECTIVES]


def _replays(
    driver: BatchDriver, utc_offset_h: float, permutations: int, live: bool, rng: np.random.Generator
) -> Iterator[Rows]:
    events = driver.events
    try:
        for _ in range(permutations):
            driver.events = permuted(events, day_of(events.time_ms, utc_offset_h), rng)
            driver.forget()
            rows = driver.run()
            if not live:
                until = frozen_until(rows.time_ms, day_of(rows.time_ms, utc_offset_h), utc_offset_h)
                driver.forget()
                rows = frozen(rows, driver.run(known_until_ms=until))
            yield rows
    finally:
        driver.events = events


def ranked(objective: str, values: Float32, label: Array, group: Array, fold: Fold) -> Array:
    """Scores of the fold's test rows by a model of fixed size."""
    train = fold.train[np.argsort(group[fold.train], kind="stable")]
    sizes: dict[str, Any] = {}
    if objective == "lambdarank":
        sizes["group"] = np.unique(group[train], return_counts=True)[1]
    rows = lgb.Dataset(values[train], label[train], **sizes)
    booster = lgb.train(_SETTINGS | {"objective": objective}, rows, _TREES)
    return np.asarray(booster.predict(values[fold.test], raw_score=True))


def _error(label: Array, score: Array, group: Array, viewer: Array, rng: np.random.Generator) -> float:
    drawn = viewer_resamples(viewer, lambda index: grouped_auc(label[index], score[index], group[index]), 100, rng)
    return float(np.nanstd(drawn))
