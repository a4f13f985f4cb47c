"""Records that are mostly zeros, as fewer bytes: a map of the 8-byte words that are not zero, then those words."""

from collections.abc import Sequence
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
    maps, width = np.packbits(used, axis=1).tobytes(), -(-count // 8)
    values = memoryview(words[used].tobytes())
    ends = (np.cumsum(used.sum(axis=1)) * _WORD).tolist()
    head = _SPARSE + size.to_bytes(4, "little")
    squeezed, start = [], 0
    for number, end in enumerate(ends):
        squeezed.append(b"".join((head, maps[number * width : (number + 1) * width], values[start:end])))
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
