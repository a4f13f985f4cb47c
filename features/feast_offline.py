"""Snapshots of packed rows as Parquet, one file a moment: what Feast's point-in-time joins read."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.arrays import Array
from core.errors import CorruptData, InputError, StorageFull, Unavailable
from features.definitions import schema_hash
from features.feast_fields import ENTITIES, EntityRows

EVENT_TIME: Final = "event_timestamp"
CREATED: Final = "created"


def feast_folder(home: Path) -> Path:
    """Where Feast keeps what it knows of a home."""
    return home / "feast"


def offline_path(entity: str) -> str:
    """The folder of an entity's snapshots under the Feast folder; another schema has another one."""
    return f"offline/{entity}/{schema_hash()}"


def write_offline(home: Path, packed: Mapping[str, Mapping[str, bytes]], event_time_ms: int, created_ms: int) -> None:
    """One Parquet file for each entity with the state as of `event_time_ms`; the same moment replaces its file."""
    for entity in ENTITIES.values():
        folder = feast_folder(home) / offline_path(entity.name)
        folder.mkdir(parents=True, exist_ok=True)
        table = table_of(entity, packed.get(entity.name, {}), event_time_ms, created_ms)
        _write(table, folder / f"{event_time_ms:015d}.parquet")


def write_states(
    home: Path, entity: str, name: str, ids: Sequence[str], rows: Sequence[bytes], event_us: Array, created_us: Array
) -> None:
    """One Parquet file of an entity's rows, each with its own two times (Unix microseconds); the same name replaces."""
    folder = feast_folder(home) / offline_path(entity)
    folder.mkdir(parents=True, exist_ok=True)
    _write(states_table(ENTITIES[entity], ids, rows, event_us, created_us), folder / f"{name}.parquet")


def _write(table: pa.Table, path: Path) -> None:
    unfinished = path.parents[2] / f".{path.parents[1].name}-{path.stem}-{os.getpid()}"
    try:
        pq.write_table(table, unfinished, compression="zstd")
        os.replace(unfinished, path)
    except OSError as error:
        kind = StorageFull if error.errno == errno.ENOSPC else Unavailable
        raise kind(f"The snapshot {path} cannot be written ({error.strerror}); make room for it there.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def table_of(entity: EntityRows, rows: Mapping[str, bytes], event_time_ms: int, created_ms: int) -> pa.Table:
    """Packed rows as columns: the entity's key, the two times (UTC) and every raw field."""
    event_us, created_us = (np.full(len(rows), ms * 1000, np.int64) for ms in (event_time_ms, created_ms))
    return states_table(entity, list(rows), list(rows.values()), event_us, created_us)


def states_table(
    entity: EntityRows, ids: Sequence[str], rows: Sequence[bytes], event_us: Array, created_us: Array
) -> pa.Table:
    """Packed rows of any moments as columns, times in Unix microseconds; an id may come more than once."""
    records = _records(entity, rows)
    stamp = pa.timestamp("us", tz="UTC")
    columns: dict[str, Any] = {
        entity.key: pa.array(ids, pa.string()),
        EVENT_TIME: pa.array(event_us, pa.int64()).cast(stamp),
        CREATED: pa.array(created_us, pa.int64()).cast(stamp),
    }
    for field in entity.fields:
        columns[field.name] = _column(records[field.name])
    return pa.table(columns)


def _records(entity: EntityRows, rows: Sequence[bytes]) -> Array:
    size = entity.dtype.itemsize
    if wrong := set(map(len, rows)) - {size}:
        raise CorruptData(
            f"A packed {entity.name} row has {min(wrong)} bytes where {size} are due; rebuild with `foryou train`."
        )
    return np.frombuffer(b"".join(rows), entity.layout)


def _column(values: Array) -> pa.Array:
    flat = np.ascontiguousarray(values).reshape(-1)
    if flat.dtype == np.uint8:
        flat = flat.astype(np.int32)  # Feast has no narrower integer
    if values.ndim == 1:
        return pa.array(flat)
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(flat))


def packed_rows(columns: Mapping[str, Any], entity: str, prefix: str = "") -> Array:
    """Raw fields from Feast (a data frame or `to_dict()`) as packed records, for the shared functions that decay them.

    Names may carry a prefix ("viewer__"); missing rows come back empty. [rows] VIEWER_DTYPE or COUNTS_DTYPE
    """
    rows = ENTITIES[entity]
    if missing := [f.name for f in rows.fields if prefix + f.name not in columns]:
        raise InputError(f"The columns lack {len(missing)} raw fields of {entity}, {missing[0]} first; ask for all.")
    first = columns[prefix + rows.fields[0].name]
    records = np.zeros(len(first), rows.layout)
    known = np.array([value is not None and value == value for value in first], bool)
    for field in rows.fields:
        values = [v for v, there in zip(columns[prefix + field.name], known, strict=True) if there]
        if values:
            records[field.name][known] = np.stack(values) if field.is_list else np.array(values)
    return records.view(rows.dtype)
