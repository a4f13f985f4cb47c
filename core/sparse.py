"""Records that are mostly zeros, as fewer bytes: a map of the 8-byte words that are not zero, then those words."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from core.errors import CorruptData

_PLAIN: Final = b"\x00"
_SPARSE: Final = b"\x01"
_WORD: Final = 8


def squeeze(rows: Sequence[bytes]) -> list[bytes]:
    """Each row without its zero words; rows of one length, else as they are."""
    if not rows:
        return []
    size = len(rows[0])
    if not size or any(len(row) != size for row in rows):
        return [_PLAIN + row for row in rows]
    count = -(-size // _WORD)
    padding = b"\0" * (count * _WORD - size)
    raw = b"".join(rows) if not padding else b"".join([part for row in rows for part in (row, padding)])
    words = np.frombuffer(raw, "<i8").reshape(len(rows), count)
    used = words != 0
    ends = (np.cumsum(np.count_nonzero(used, axis=1)) * _WORD).tolist()
    return joined(size, np.packbits(used, axis=1).tobytes(), -(-count // 8), words[used].tobytes(), ends)


def joined(size: int, maps: bytes, width: int, values: bytes, ends: Iterable[int]) -> list[bytes]:
    """Rows of `size` bytes from their maps, `width` bytes each, and their words; `ends` says where each one's end."""
    head, view = _SPARSE + size.to_bytes(4, "little"), memoryview(values)
    squeezed, start = [], 0
    for at, end in zip(range(0, len(maps), width), ends, strict=True):
        squeezed.append(b"".join((head, maps[at : at + width], view[start:end])))
        start = end
    return squeezed


def unsqueeze(raw: bytes) -> bytes:
    """The row that `squeeze` was given; CorruptData where it is none."""
    if raw[:1] == _PLAIN:
        return raw[1:]
    size = int.from_bytes(raw[1:5], "little")
    count = -(-size // _WORD)
    start = 5 + -(-count // 8)
    if raw[:1] != _SPARSE or len(raw) < start:
        raise CorruptData(f"A sparse record of {len(raw)} bytes is not what was written.")
    used = np.unpackbits(np.frombuffer(raw[5:start], np.uint8), count=count).view(np.bool_)
    if len(raw) != start + _WORD * int(used.sum()):
        raise CorruptData(f"A sparse record of {len(raw)} bytes is not what was written.")
    words = np.zeros(count, "<i8")
    words[used] = np.frombuffer(raw[start:], "<i8")
    return words.tobytes()[:size]


def is_squeezed(raw: bytes) -> bool:
    """Whether these bytes are a row as `squeeze` leaves it where that saves anything, and not a row as it was."""
    if raw[:1] != _SPARSE or len(raw) < 5:
        return False
    start = 5 + -(-int.from_bytes(raw[1:5], "little") // _WORD**2)
    return start <= len(raw) == start + _WORD * int.from_bytes(raw[5:start], "little").bit_count()


def whole(rows: Sequence[bytes | None]) -> list[bytes | None]:
    """Rows as they were, whether they were squeezed or not; None where there is none."""
    if not any(raw is not None and raw[:1] == _SPARSE for raw in rows):
        return list(rows)
    small = [at for at, raw in enumerate(rows) if raw is not None and is_squeezed(raw)]
    found = list(rows)
    for at, raw in zip(small, unsqueeze_all([row for row in (rows[at] for at in small) if row]), strict=True):
        found[at] = raw
    return found


def unsqueeze_all(rows: Sequence[bytes]) -> list[bytes]:
    """The rows that `squeeze` was given, in order; those of one length at once. CorruptData where one is none."""
    head = rows[0][:5] if rows else b""
    if len(rows) < 2 or head[:1] != _SPARSE or any(raw[:5] != head for raw in rows):
        return [unsqueeze(raw) for raw in rows]
    size = int.from_bytes(head[1:], "little")
    count = -(-size // _WORD)
    width = -(-count // 8)
    start = 5 + width
    maps = np.frombuffer(b"".join([raw[5:start] for raw in rows]), np.uint8)
    if len(maps) != len(rows) * width:
        return [unsqueeze(raw) for raw in rows]  # which says what is wrong
    used = np.unpackbits(maps.reshape(len(rows), width), axis=1, count=count).view(np.bool_)
    if (np.count_nonzero(used, axis=1) * _WORD + start).tolist() != [len(raw) for raw in rows]:
        return [unsqueeze(raw) for raw in rows]
    words = np.zeros(used.shape, "<i8")
    words[used] = np.frombuffer(b"".join([raw[start:] for raw in rows]), "<i8")
    whole = words.reshape(-1).view(np.uint8).data
    return [bytes(whole[at : at + size]) for at in range(0, len(whole), count * _WORD)]
