"""The same rows by Feast's point-in-time join: the replayed states become an offline store, and each logged state is
asked for by the moment at which it was applied.

Feast joins with `<=`, so a state applied at A is what a question finds at every moment from A to one microsecond before
the next state of its row was applied. Both ends are asked, and both must give that state: at A, where a join that took
`<` would find the one before, and at the next one's moment less one microsecond, where one that looked ahead would find
the next. Each entity is asked by its own moments: the rows behind one feature row were applied by different writers at
different times, and a replica may have read one of them later than the others, so no single moment fits all four.

Event time and created time of a state are both its apply time, and the created cut-off is on: a state that is
corrected later is not found by a question about an earlier moment.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from core.arrays import Array
from features.feast_fields import ENTITIES
from features.feast_offline import EVENT_TIME, feast_folder, offline_path, packed_rows, states_table
from features.feast_repo import apply
from features.skew.check import Replayed, applied_at, known_rows
from features.skew.compare import Comparison, ulps
from features.skew.recompute import Recomputer
from features.skew.report import JoinReport
from features.skew.states import CatalogueAt, State, StateKey

_CHUNK: Final = 20_000
Moment = tuple[StateKey, int]


async def check_join(replayed: Replayed, catalogue_at: CatalogueAt, folder: Path) -> JoinReport:
    """Write the states under `folder` (a Feast repository of its own), join, and compute every row from what came."""
    began = time.perf_counter()
    moments = [at for at in applied_at(replayed.slates, replayed.keys) if at[0] in replayed.states]
    by_entity = {entity: [at for at in moments if at[0].entity == entity] for entity in ENTITIES}
    store = apply(folder)
    found: dict[StateKey, State] = {}
    wrong = ambiguous = 0
    for entity, listed in by_entity.items():
        if not listed:
            continue
        write_states(folder, entity, listed, replayed.states)
        first, last = (joined(store, entity, listed, at) for at in _ends(listed))
        unclear = _ambiguous(listed)
        versions = np.array([key.version for key, _ in listed])
        mistaken = (first["version"] != versions) | (last["version"] != versions)
        mistaken |= np.array([a.tobytes() != b.tobytes() for a, b in zip(first, last, strict=True)])
        wrong, ambiguous = wrong + int((mistaken & ~unclear).sum()), ambiguous + int(unclear.sum())
        for (key, _), record in zip(listed, first, strict=True):
            found[key] = State(record.tobytes(), replayed.states[key].event_ms)
    rows, most, comparison = await _compare(replayed, found, catalogue_at)
    return JoinReport(
        rows=rows,
        states=len(moments),
        max_ulp=most,
        beyond_one_ulp=comparison.differences(),
        wrong_states=wrong,
        ambiguous_states=ambiguous,
        seconds=round(time.perf_counter() - began, 3),
    )


def write_states(folder: Path, entity: str, moments: Sequence[Moment], states: Mapping[StateKey, State]) -> None:
    """One Parquet file of the offline store with the states of an entity, each as of when it was applied."""
    rows, path = ENTITIES[entity], feast_folder(folder) / offline_path(entity)
    path.mkdir(parents=True, exist_ok=True)
    at_us = np.array([at for _, at in moments], np.int64)
    table = states_table(rows, [key.id for key, _ in moments], [states[key].row for key, _ in moments], at_us, at_us)
    pq.write_table(table, path / "replayed.parquet", compression="zstd")


def joined(store: Any, entity: str, moments: Sequence[Moment], at_us: Array) -> Array:
    """What Feast finds of each row at a moment. [moments] packed records"""
    rows = ENTITIES[entity]
    parts = []
    for start in range(0, len(moments), _CHUNK):
        part = slice(start, start + _CHUNK)
        asked = pd.DataFrame(
            {
                rows.key: [key.id for key, _ in moments[part]],
                EVENT_TIME: pd.to_datetime(at_us[part], unit="us", utc=True),
            }
        )
        names = [f"{entity}:{field.name}" for field in rows.fields]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            job = store.get_historical_features(asked, names, filter_by_created_timestamp=True)
            parts.append(packed_rows(_columns(job.to_arrow()), entity))
    return np.concatenate(parts)


def _columns(table: Any) -> dict[str, Any]:
    """Arrow columns as arrays where nothing is null, which is quick, and as lists where something is."""
    return {
        name: column.to_numpy() if not column.null_count else column.to_pylist()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _ends(moments: Sequence[Moment]) -> tuple[Array, Array]:
    """When each state was applied, and one microsecond before the next of its row was (a second on for the last)."""
    first = np.array([at for _, at in moments], np.int64)
    last = first + 1_000_000
    for one, after in _neighbours(moments):
        last[one] = max(first[after] - 1, first[one])
    return first, last


def _ambiguous(moments: Sequence[Moment]) -> Array:
    """States that share the microsecond with another of the same row, which no time tells apart. [moments] bool"""
    unclear = np.zeros(len(moments), np.bool_)
    for one, after in _neighbours(moments):
        if moments[one][1] >= moments[after][1]:
            unclear[[one, after]] = True
    return unclear


def _neighbours(moments: Sequence[Moment]) -> list[tuple[int, int]]:
    """Pairs of places of consecutive states of one row, by version."""
    order = sorted(range(len(moments)), key=lambda at: (moments[at][0].id, moments[at][0].version, moments[at][1]))
    return [(one, after) for one, after in pairwise(order) if moments[one][0].id == moments[after][0].id]


async def _compare(
    replayed: Replayed, found: Mapping[StateKey, State], catalogue_at: CatalogueAt
) -> tuple[int, int, Comparison]:
    """(rows, largest distance in ulp, features beyond one) of every row computed from what the joins found."""
    recomputer = Recomputer(await catalogue_at.until(0))
    comparison, rows, most = Comparison(), 0, 0
    for logged, keys in zip(replayed.slates, replayed.keys, strict=True):
        await catalogue_at.until(logged.slate.applied_offset)
        here = known_rows(keys, found, len(logged))
        again = recomputer.features(logged, keys, found)
        apart = np.where(here[:, None], ulps(logged.declared, again), 0)
        most, rows = max(most, int(apart.max())), rows + int(here.sum())
        comparison.add(logged, again, apart > 1)
    return rows, most, comparison
