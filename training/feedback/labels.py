"""Labels and weights of joined rows, as columns."""

from collections.abc import Sequence

import numpy as np

from core.arrays import Array, Float32
from features.dataset import watch_measures
from training.feedback.join import Outcome
from training.feedback.rules import REACTION_RULES, WATCH_RULES, JoinConfig


def labels_of(outcomes: Sequence[Outcome]) -> dict[str, Float32]:
    """play_ms and length_ms (0 and 1 where not watched) and every head's label, NaN where there is none. [n] float32"""
    watched = np.array([o.watch is not None for o in outcomes], np.bool_)
    went_on = np.array([o.went_on for o in outcomes], np.bool_)
    play, length, long_view, click = _watches(outcomes)
    measured = watch_measures(play, length, long_view, click)
    columns = {"play_ms": play, "length_ms": length}
    for rule in WATCH_RULES:
        absent = np.where(went_on, np.float32(rule.left_at_once), np.float32(np.nan))
        columns[rule.head] = np.where(watched, measured[rule.head].astype(np.float32), absent)
    for rule in REACTION_RULES:
        reacted = np.array([rule.head in o.reacted for o in outcomes], np.bool_)
        absent = np.where(watched, np.float32(0), np.where(went_on, np.float32(rule.left_at_once), np.float32(np.nan)))
        columns[rule.head] = np.where(reacted, np.float32(1), absent)
    return {name: np.asarray(column, np.float32) for name, column in columns.items()}


def _watches(outcomes: Sequence[Outcome]) -> tuple[Array, Array, Array, Array]:
    """play_ms, length_ms (at least 1), long view and click. [n]"""
    reports = [o.watch for o in outcomes]
    play = np.array([r.play_ms if r else 0 for r in reports], np.float32)
    length = np.maximum(np.array([r.length_ms if r else 0 for r in reports], np.int64), 1).astype(np.float32)
    long_view = np.array([bool(r and r.long_view) for r in reports], np.bool_)
    return play, length, long_view, np.array([bool(r and r.click) for r in reports], np.bool_)


def propensities_of(outcomes: Sequence[Outcome]) -> Float32:
    """The logged probability of serving the video at its place, NaN where the slate was not random. [n] float32"""
    logged = [
        o.logged.slate.propensities[o.position] if o.logged.slate.propensities else float("nan") for o in outcomes
    ]
    return np.array(logged, np.float32)


def weights_of(propensities: Float32, config: JoinConfig) -> Float32:
    """Inverse propensity, at most `max_weight`; 1 where the slate was not random. [n] float32

    Clipping bounds the variance at the price of a bias towards what is served often (Bottou et al. 2013, section 4.3).
    """
    least = 1.0 / config.max_weight
    return np.where(np.isnan(propensities), 1.0, 1.0 / np.maximum(propensities, least)).astype(np.float32)
