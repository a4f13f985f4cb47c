"""Cells of any type as ids, numbers, times or flags, a column at a time, with what is missing and what is wrong."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Bool, Float64
from core.events import MAX_ID_CHARS
from foryou.importers.mapping import ColumnFrom

_NUMBER: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_NOTHING: Final = pa.array(["", "null", "none", "nan", "na", "n/a"])
_FLAG_WORDS: Final = {"true": "1", "yes": "1", "t": "1", "false": "0", "no": "0", "f": "0"}
_MS: Final = {"ms": 1.0, "s": 1_000.0, "us": 0.001}


@dataclass(frozen=True, slots=True)
class Numbers:
    """Values [rows] float64 (0 where there is none), which cells are empty and which hold something else."""

    values: Float64
    missing: Bool
    wrong: Bool


def cell_column(batch: Any, origin: ColumnFrom | None) -> Any:
    """The source column, the constant repeated, or nulls where the mapping names no origin."""
    if origin is None:
        return pa.nulls(batch.num_rows)
    if origin.column is None:
        return pa.repeat(pa.scalar(origin.constant), batch.num_rows)
    return batch.column(origin.column)


def texts(column: Any) -> tuple[list[str], Bool]:
    """Cells as text ("" where empty), and which of them cannot be an id. Whole numbers lose their ".0"."""
    if pa.types.is_floating(column.type):
        column = _whole(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_null(column.type):
        return [""] * len(column), np.zeros(len(column), np.bool_)
    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    filled = pc.fill_null(column, "")
    odd = pc.match_substring_regex(filled, "[\x00-\x1f\N{REPLACEMENT CHARACTER}]")
    wrong = pc.or_(pc.greater(pc.utf8_length(filled), MAX_ID_CHARS), odd)
    return filled.to_pylist(), _mask(wrong)


def _whole(column: Any) -> Any:
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


def numbers(column: Any) -> Numbers:
    """Numeric cells; text is read as a decimal number."""
    kind = column.type
    if pa.types.is_null(kind):
        return _none(len(column))
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_dictionary(kind):
        column = pa.array([None if value is None else str(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("ms", kind.tz), safe=False).cast(pa.int64())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_text(column)
    missing = _mask(column.is_null())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    values = np.array(pc.fill_null(column.cast(pa.float64(), safe=False), 0.0), np.float64)
    wrong = ~np.isfinite(values)
    values[wrong] = 0.0
    return Numbers(values, missing, wrong)


def _from_text(column: Any) -> Numbers:
    trimmed = pc.utf8_trim_whitespace(column)
    missing = _mask(pc.or_(trimmed.is_null(), pc.is_in(pc.utf8_lower(trimmed), _NOTHING)))
    right = _mask(pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False))
    kept = pc.if_else(pa.array(right), trimmed, pa.scalar(None, trimmed.type))
    values = np.array(pc.fill_null(kept.cast(pa.float64()), 0.0), np.float64)
    wrong = ~np.isfinite(values) | ~(right | missing)
    values[wrong] = 0.0
    return Numbers(values, missing, wrong)


def flags(column: Any) -> Numbers:
    """Flags as 1 and 0; words such as true and no are understood, counts above zero are 1."""
    if pa.types.is_string(column.type) and len(column):
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        for word, digit in _FLAG_WORDS.items():
            lower = pc.if_else(pc.fill_null(pc.equal(lower, word), False), digit, lower)
        column = lower
    found = numbers(column)
    return Numbers((found.values > 0).astype(np.float64), found.missing, found.wrong)


def milliseconds(column: Any, unit: str, utc_offset_h: float = 0.0) -> Numbers:
    """Times and durations in ms; `iso8601` cells without a zone are `utc_offset_h` ahead of UTC."""
    if pa.types.is_timestamp(column.type) or pa.types.is_null(column.type):
        return numbers(column)
    if unit == "iso8601":
        return _from_iso(column.to_pylist(), timezone(timedelta(hours=utc_offset_h)))
    found = numbers(column)
    return Numbers(np.floor(found.values * _MS[unit]), found.missing, found.wrong)


def _from_iso(cells: list[Any], zone: timezone) -> Numbers:
    found = _none(len(cells))
    found.missing[:] = False
    for index, cell in enumerate(cells):
        if cell is None or cell == "":
            found.missing[index] = True
            continue
        try:
            time = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
        except ValueError:
            found.wrong[index] = True
            continue
        if time.tzinfo is None:
            time = time.replace(tzinfo=zone)
        found.values[index] = (time - _EPOCH) // _ONE_MS
    return found


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MS: Final = timedelta(milliseconds=1)


def _none(count: int) -> Numbers:
    missing = np.ones(count, np.bool_)
    return Numbers(np.zeros(count), missing, np.zeros(count, np.bool_))


def _mask(column: Any) -> Bool:
    mask: Bool = np.array(column, np.bool_)
    return mask


def row_hashes(batch: Any) -> Any:
    """A 64-bit hash of each whole row, equal for equal rows of one process. [rows] uint64"""
    total = np.zeros(batch.num_rows, np.uint64)
    with np.errstate(over="ignore"):
        for number, column in enumerate(batch.columns):
            total = _mix(total + _cell_hashes(column) + np.uint64(number))
    return total


def _cell_hashes(column: Any) -> Any:
    kind = column.type
    if pa.types.is_integer(kind) and not column.null_count:
        return np.array(column).astype(np.int64).view(np.uint64)
    if pa.types.is_nested(kind):
        return np.array([hash(str(value)) for value in column.to_pylist()], np.int64).view(np.uint64)
    codes = column.dictionary_encode() if not pa.types.is_dictionary(kind) else column
    words = np.array([hash(value) for value in codes.dictionary.to_pylist()] + [1], np.int64)
    return words[np.array(pc.fill_null(codes.indices, -1))].view(np.uint64)


def _mix(values: Any) -> Any:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
