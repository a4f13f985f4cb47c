"""The protocol of an evaluation on a log: which day teaches, which calibrates, which tests, and what was known when."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.arrays import Array
from core.errors import InputError
from features.dataset import Rows
from features.definitions import FEATURES
from training.split import day_start_ms


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers of a test day: train on [the first day .. two days before], calibrate and stop on the day before."""

    test_day: int
    train: Array
    valid: Array
    test: Array


def rolling_origin(day: Array, test_days: Sequence[int]) -> list[Fold]:
    """A fold for each test day; `day` [rows]: days since 1970 by the log's own calendar. InputError for a day without
    rows to train on, to calibrate on or to test."""
    folds = []
    for test_day in test_days:
        known = np.unique(day[day < test_day])
        if len(known) < 2 or not (day == test_day).any():
            raise InputError(
                f"{np.datetime64(test_day, 'D')} cannot be a test day: it needs impressions, and two days before it."
            )
        parts = (day < known[-1], day == known[-1], day == test_day)
        folds.append(Fold(test_day, *(np.flatnonzero(part) for part in parts)))
    return folds


def frozen_until(time_ms: Array, day: Array, utc_offset_h: float) -> Array:
    """For each row the start of its day, or its own time where that is earlier (a log's date may run ahead of its
    clock): what a viewer's state may know when lists of that day are judged. [rows] int64"""
    starts = {int(one): day_start_ms(int(one), utc_offset_h) for one in np.unique(day)}
    return np.minimum(time_ms, np.array([starts[int(one)] for one in day], np.int64))


def frozen(live: Rows, known: Rows) -> Rows:
    """Rows whose viewer is as in `known` (replayed with `known_until_ms`) and whose video is as in `live`.

    Within a list, running counters of the viewer's own labels say which outcomes are still missing; a metric by viewer
    then measures that instead of the ranking.
    """
    mine = np.array([feature.owner == "viewer" for feature in FEATURES])
    features = np.where(mine, np.asarray(known.features), np.asarray(live.features))
    return replace(live, features=features, past=known.past)


def lists(viewer: Array, day: Array) -> Array:
    """One code for each viewer and day: the lists in which a frozen state ranks. [rows] int64"""
    first = int(day.min())
    return np.asarray(viewer.astype(np.int64) * (int(day.max()) - first + 1) + (day - first))
