"""Messages of viewers' events as numbers and places of their strings, read in one compiled pass.

As Python objects, two thousand events a micro-batch cost half of what all else does with them. The pass knows what
`core.events.encode` writes; whatever else it meets (another field, a wide number, a letter beyond ASCII where it
matters) it leaves to `core.events.decode`, which alone decides what an event is.
"""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201, ANN202, SIM110

from functools import cache
from typing import Final, NamedTuple

import numpy as np
from msgspec.structs import fields
from numba import njit

from core.arrays import Array, Int64
from core.events import MAX_ID_CHARS, SCHEMA_VERSION, VIEWER_EVENTS, Event
from features.layout import OP
from features.stream.soundness import FAR_MS, INT32, INT62

# The columns of numbers, then those of strings, in the order of the fields below.
TIME_MS, INGESTED_MS, SCHEMA, STAMP, POSITION, PLAY_MS, LENGTH_MS, LONG_VIEW, CLICK, OPERATION = range(10)
EVENT_ID, VIEWER_ID, VIDEO_ID, AUTHOR_ID, REGION = range(5)
NUMBERS: Final = 10
STRINGS: Final = 5

_INT, _STRING, _FLAG, _FLOAT, _TEXT = range(5)
_LONG: Final = 1 << 16  # no string that is read is so long
# Each field: its name, what it holds, its column, and the least number, or length of an id, that is too large.
_FIELDS: Final = (
    ("event_id", _STRING, EVENT_ID, MAX_ID_CHARS + 1), ("viewer_id", _STRING, VIEWER_ID, MAX_ID_CHARS + 1),
    ("time_ms", _INT, TIME_MS, FAR_MS), ("ingested_ms", _INT, INGESTED_MS, FAR_MS),
    ("schema", _INT, SCHEMA, SCHEMA_VERSION + 1), ("viewer_region", _STRING, REGION, _LONG),
    ("catalogue_offset", _INT, STAMP, INT62), ("video_id", _STRING, VIDEO_ID, MAX_ID_CHARS + 1),
    ("author_id", _STRING, AUTHOR_ID, MAX_ID_CHARS + 1), ("slate_id", _TEXT, 0, 0), ("position", _INT, POSITION, INT32),
    ("surface", _TEXT, 0, 0), ("session_id", _TEXT, 0, 0), ("propensity", _FLOAT, 0, 0),
    ("play_ms", _INT, PLAY_MS, INT62), ("length_ms", _INT, LENGTH_MS, INT32), ("long_view", _FLAG, LONG_VIEW, 0),
    ("click", _FLAG, CLICK, 0), ("reason", _TEXT, 0, 0),
)  # fmt: skip


class Words(NamedTuple):
    """The fields and the kinds of events as arrays. They are given to the pass, not compiled into it: what is compiled
    stays on the disk when an event gets another field."""

    keys: Array
    key_sizes: Int64
    types: Int64
    columns: Int64
    limits: Int64
    tags: Array
    tag_sizes: Int64
    ops: Int64
    allowed: Int64
    required: Int64


@cache
def words() -> Words:
    """What the pass knows."""
    names = [name for name, *_ in _FIELDS]
    kinds = {str(kind.__struct_config__.tag): kind for kind in VIEWER_EVENTS}
    kinds = {tag: kind for tag, kind in kinds.items() if tag in OP}
    types, columns, limits = (np.array([field[part] for field in _FIELDS], np.int64) for part in (1, 2, 3))
    ops = np.array([OP[tag] for tag in kinds], np.int64)
    allowed, required = (
        np.array([_mask(kind, names, must) for kind in kinds.values()], np.int64) for must in (False, True)
    )
    return Words(*_table(names), types, columns, limits, *_table(list(kinds)), ops, allowed, required)


def _table(found: list[str]) -> tuple[Array, Int64]:
    """Words as rows of bytes, and their lengths."""
    rows = np.zeros((len(found), max(map(len, found))), np.uint8)
    for row, word in zip(rows, found, strict=True):
        row[: len(word)] = np.frombuffer(word.encode(), np.uint8)
    return rows, np.array([len(word) for word in found], np.int64)


def _mask(kind: type[Event], names: list[str], required: bool) -> int:
    """The fields of a kind of event as bits, with `required` those that have no default; ValueError for a new one."""
    return sum(1 << names.index(field.name) for field in fields(kind) if field.required or not required)


@njit(cache=True)
def _found(raw, start, size, table, sizes, after):
    """The word of a table that stands at `start`, looked for from the one after the last; -1 where there is none."""
    count, row = sizes.shape[0], after
    for _ in range(count):
        row = row + 1 if row + 1 < count else 0
        if sizes[row] == size:
            k = 0
            while k < size and raw[start + k] == table[row, k]:
                k += 1
            if k == size:
                return row
    return -1


@njit(cache=True)
def _string(raw, at, end):
    """Where a string begins and ends, (-1, -1) where there is none."""
    if at >= end:
        return -1, -1
    head = raw[at]
    if 0xA0 <= head <= 0xBF:
        start, size = at + 1, np.int64(head & 0x1F)
    elif head == 0xD9 and at + 1 < end:
        start, size = at + 2, np.int64(raw[at + 1])
    elif head == 0xDA and at + 2 < end:
        start, size = at + 3, np.int64(raw[at + 1]) << 8 | np.int64(raw[at + 2])
    else:
        return -1, -1
    if start + size > end:
        return -1, -1
    return start, start + size


@njit(cache=True)
def _number(raw, at, end):
    """A whole number from 0 and where it ends, (0, -1) where there is none."""
    if at >= end:
        return 0, -1
    head = raw[at]
    if head < 0x80:
        return np.int64(head), at + 1
    if head < 0xCC or head > 0xCF:
        return 0, -1
    size = 1 << (head - 0xCC)
    if at + 1 + size > end:
        return 0, -1
    value = np.int64(0)
    for k in range(size):
        value = value << 8 | np.int64(raw[at + 1 + k])
    return (value, at + 1 + size) if value >= 0 else (0, -1)


@njit(cache=True)
def _plain(raw, start, stop):
    """Whether a string is ASCII."""
    for k in range(start, stop):
        if raw[k] >= 0x80:
            return False
    return True


@njit(cache=True)
def _names_kind(raw, start, stop):
    """Whether a key is "kind"."""
    word = (np.uint8(0x6B), np.uint8(0x69), np.uint8(0x6E), np.uint8(0x64))
    return stop - start == 4 and (raw[start], raw[start + 1], raw[start + 2], raw[start + 3]) == word


@njit(cache=True)
def _value(raw, at, end, kind, column, limit, numbers, spans):
    """Take a field's value; where it ends, and whether it has letters beyond ASCII; (-1, False) where it is odd."""
    if kind == _INT:
        value, after = _number(raw, at, end)
        if value >= limit:
            return -1, False
        numbers[column] = value
        return after, False
    if kind == _FLAG:
        if at >= end or (raw[at] != 0xC0 and raw[at] != 0xC2 and raw[at] != 0xC3):
            return -1, False
        numbers[column] = -1 if raw[at] == 0xC0 else raw[at] - 0xC2
        return at + 1, False
    if kind == _FLOAT:
        if at < end and raw[at] == 0xC0:
            return at + 1, False
        return (at + 9 if at + 9 <= end and raw[at] == 0xCB else -1), False
    start, stop = _string(raw, at, end)
    if start < 0:
        return -1, False
    foreign = not _plain(raw, start, stop)
    if kind == _STRING:
        if not foreign and stop - start >= limit:
            return -1, False
        spans[column, 0], spans[column, 1] = start, stop
    return stop, foreign


@njit(cache=True)
def _event(raw, at, end, numbers, spans, words):
    """Read one message; 0 where it is read, 1 where its letters need a look, -1 where all of it does."""
    if at >= end or raw[at] & 0xF0 != 0x80:
        return -1
    count, at = raw[at] & 0x0F, at + 1
    field, seen, kind, foreign = -1, 0, -1, False
    for _ in range(count):
        start, stop = _string(raw, at, end)
        if start < 0:
            return -1
        if kind < 0 and _names_kind(raw, start, stop):
            start, at = _string(raw, stop, end)
            kind = _found(raw, start, at - start, words.tags, words.tag_sizes, -1) if start >= 0 else -1
            if kind < 0:
                return -1
            continue
        field = _found(raw, start, stop - start, words.keys, words.key_sizes, field)
        if field < 0:
            return -1
        seen |= 1 << field
        at, odd = _value(raw, stop, end, words.types[field], words.columns[field], words.limits[field], numbers, spans)
        if at < 0:
            return -1
        foreign |= odd
    if at != end or kind < 0 or seen & ~words.allowed[kind] or words.required[kind] & ~seen:
        return -1
    numbers[OPERATION] = words.ops[kind]
    return 1 if foreign else 0


@njit(cache=True)
def parse(raw, ends, numbers, spans, foreign, words):
    """Read the messages that end at `ends` [messages] of `raw` uint8 into `numbers` [messages, NUMBERS] and `spans`
    [messages, STRINGS, 2], both zeros; mark in `foreign` [messages] those with letters beyond ASCII, which may not be
    letters at all. How many were read: fewer than there are where the next one needs a closer look.
    """
    at = np.int64(0)
    for i in range(ends.shape[0]):
        numbers[i, LONG_VIEW] = numbers[i, CLICK] = -1
        said = _event(raw, at, ends[i], numbers[i], spans[i], words)
        if said < 0:
            return i
        foreign[i] = said == 1
        at = ends[i]
    return ends.shape[0]


@njit(cache=True)
def number_words(raw, spans, codes, firsts):
    """Give each distinct string of `spans` [strings, 2] of `raw` a code in the order of first sight, into `codes`
    [strings], and the place of its first one into `firsts`; how many there are."""
    size = 4
    while size < 2 * spans.shape[0]:
        size *= 2
    slots, count = np.full(size, -1, np.int64), 0
    for i in range(spans.shape[0]):
        start, length = spans[i, 0], spans[i, 1] - spans[i, 0]
        mixed = np.uint64(14695981039346656037)
        for k in range(start, start + length):
            mixed = (mixed ^ np.uint64(raw[k])) * np.uint64(1099511628211)
        slot = np.int64(mixed ^ mixed >> np.uint64(32)) & (size - 1)
        while slots[slot] >= 0:
            first = firsts[slots[slot]]
            other, k = spans[first, 0], 0
            if spans[first, 1] - other == length:
                while k < length and raw[start + k] == raw[other + k]:
                    k += 1
                if k == length:
                    break
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot], firsts[count] = count, i
            count += 1
        codes[i] = slots[slot]
    return count
