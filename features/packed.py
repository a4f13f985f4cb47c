"""Packed rows as bytes: stamped with the schema that wrote them and a checksum, checked when they are read."""

from functools import lru_cache
from typing import Final
from zlib import crc32

import numpy as np

from core.arrays import Array, Int64
from core.errors import CorruptData, SchemaMismatch
from features.definitions import schema_hash
from features.layout import STAMP

# The checksum covers what follows it.
CHECKED_FROM: Final = np.dtype(STAMP[:2]).itemsize


@lru_cache
def schema_number() -> int:
    """The feature schema as a row carries it, above 0."""
    return int(schema_hash()[:15], 16) or 1


def pack_rows(records: Array) -> list[bytes]:
    """Each record as bytes with schema and checksum; records [n] VIEWER_DTYPE or COUNTS_DTYPE."""
    return stamp_rows(np.array(records, order="C", ndmin=1))


def stamp_rows(records: Array) -> list[bytes]:
    """Each record as bytes; schema and checksum are written into `records` [n], contiguous, which are the caller's."""
    every = np.arange(len(records))
    stamp(records, every)
    return bytes_of(records, every)


def stamp(records: Array, rows: Int64) -> None:
    """Write schema and checksum into the records [n], contiguous, at these rows."""
    records["schema"][rows] = schema_number()
    size, raw = records.dtype.itemsize, records.view(np.uint8).data
    records["checksum"][rows] = [crc32(raw[start + CHECKED_FROM : start + size]) for start in (rows * size).tolist()]


def bytes_of(records: Array, rows: Int64) -> list[bytes]:
    """The records [n], contiguous, at these rows as bytes."""
    size, raw = records.dtype.itemsize, records.view(np.uint8).data
    return [bytes(raw[start : start + size]) for start in (rows * size).tolist()]


def record_of(raw: bytes, dtype: np.dtype[np.void]) -> Array:
    """One packed record as a writable array of shape [1]; CorruptData or SchemaMismatch where it is not one of ours."""
    return records_of([raw], dtype)


def records_of(rows: list[bytes], dtype: np.dtype[np.void]) -> Array:
    """Many packed records as one writable array [rows]; CorruptData or SchemaMismatch as for `record_of`."""
    if wrong := {len(raw) for raw in rows} - {dtype.itemsize}:
        _refuse_size(min(wrong), dtype)
    records = np.frombuffer(bytearray().join(rows), dtype)
    _check(records, rows)
    return records


def _refuse_size(size: int, dtype: np.dtype[np.void]) -> None:
    raise CorruptData(
        f"A packed feature row has {size} bytes where {dtype.itemsize} are due; rebuild with `foryou train`."
    )


def _check(records: Array, rows: list[bytes]) -> None:
    number = schema_number()
    schemas = records["schema"]
    if (schemas != number).any():
        raise SchemaMismatch(
            f"A packed feature row was written under schema {int(schemas[schemas != number][0]):015x} and this build"
            f" reads {number:015x}; compute the rows again with `foryou train` or `foryou features backfill`."
        )
    if records["checksum"].tolist() != [crc32(memoryview(raw)[CHECKED_FROM:]) for raw in rows]:
        raise CorruptData(
            "A packed feature row is not what was written (its checksum differs); compute the rows again with"
            " `foryou train` or `foryou features backfill`."
        )


def unstamped(raw: bytes) -> bytes:
    """What a row counts: its bytes without the stamp."""
    return raw[np.dtype(STAMP).itemsize :]
