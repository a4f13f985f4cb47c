"""The check: every logged row again from the states that the log leads to, compared to the last bit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array
from features.logged import LoggedSlate
from features.skew.compare import Comparison, bits_differ
from features.skew.kernel import ENTITIES
from features.skew.recompute import Keys, Recomputer
from features.skew.report import MissingState, SkewReport, Staleness
from features.skew.states import CatalogueAt, StateAt, StateKey, States

_MISSING_SHOWN: Final = 20
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """Slates in the order of the offsets that they were served at, the states behind them, and what was found."""

    slates: list[LoggedSlate]
    keys: list[Keys]
    states: States
    report: SkewReport


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


async def check_skew(
    slates: Sequence[LoggedSlate],
    states_at: StateAt,
    catalogue_at: CatalogueAt,
    authors: Sequence[str],
    progress: Progress = silent,
) -> Replayed:
    """Compute every row again. `authors` are ids by code; a slate's `applied_offset` is where its catalogue stood."""
    began = time.perf_counter()
    ordered = sorted(slates, key=lambda one: (one.slate.applied_offset, one.slate.slate_id))
    keys = [Keys(logged, authors) for logged in ordered]
    wanted = set[StateKey]().union(*(one.all() for one in keys))
    progress("counting the log again", 0, 0)
    states = await states_at.states(wanted)
    comparison, rows_missing, rows = Comparison(), 0, 0
    recomputer = Recomputer(await catalogue_at.until(0))
    for number, (logged, of) in enumerate(zip(ordered, keys, strict=True), 1):
        await catalogue_at.until(logged.slate.applied_offset)
        here = known_rows(of, states, len(logged))
        again = recomputer.features(logged, of, states)
        comparison.add(logged, again, bits_differ(logged.declared, again) & here[:, None])
        rows, rows_missing = rows + len(logged), rows_missing + int((~here).sum())
        progress("feature rows again", number, len(ordered))
    lost = sorted(wanted - states.keys(), key=lambda key: (key.version, key))
    report = SkewReport(
        slates=len(ordered),
        rows=rows,
        features=ordered[0].declared.shape[1] if ordered else 0,
        states=len(states),
        differences=comparison.differences(),
        missing_states=len(lost),
        missing_rows=rows_missing,
        missing=tuple(MissingState(entity=k.entity, id=k.id, version=k.version) for k in lost[:_MISSING_SHOWN]),
        staleness=staleness(ordered, keys, states),
        seconds=round(time.perf_counter() - began, 3),
    )
    return Replayed(ordered, keys, states, report)


def known_rows(keys: Keys, states: States, rows: int) -> Array:
    """Which rows have every state that they were read from. [rows] bool"""
    return np.array([all(key in states for key in keys.of_row(row)) for row in range(rows)], np.bool_)


def applied_at(slates: Sequence[LoggedSlate], keys: Sequence[Keys]) -> dict[tuple[StateKey, int], None]:
    """Every state that was read with when it had been applied, in order; a state that was written twice has two."""
    found: dict[tuple[StateKey, int], None] = {}
    for logged, of in zip(slates, keys, strict=True):
        found[of.viewer, int(logged.viewer["applied_us"][0])] = None
        for entity, listed in (("video", of.video), ("author", of.author), ("trend", of.trend)):
            for pair in zip(listed, logged.read[f"{entity}_applied_us"].tolist(), strict=True):
                found[pair] = None
    return {pair: None for pair in found if pair[0].version > 0}


def staleness(slates: Sequence[LoggedSlate], keys: Sequence[Keys], states: States) -> tuple[Staleness, ...]:
    """By entity, over distinct states."""
    gaps: dict[str, list[float]] = {entity: [] for entity in ENTITIES}
    for key, applied_us in applied_at(slates, keys):
        if key in states:
            gaps[key.entity].append(applied_us / 1000 - states[key].event_ms)
    return tuple(
        Staleness(entity=entity, states=len(listed), **_quantiles(np.array(listed)))
        for entity, listed in gaps.items()
        if listed
    )


def _quantiles(gaps: Array) -> dict[str, float]:
    p50, p90, p99 = np.percentile(gaps, [50, 90, 99]).tolist()
    return {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": float(gaps.max())}
