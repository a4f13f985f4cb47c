"""Rows squeezed where they lie, as `core.sparse.squeeze` does it, in one compiled pass."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

import numpy as np
from numba import njit

from core.arrays import Array, Int64
from core.sparse import joined

_WORD = 8


def squeezed(records: Array, rows: Int64) -> list[bytes]:
    """The records [n], contiguous, at these rows as bytes without their zero words."""
    size, count = records.dtype.itemsize, len(records)
    whole, rest = divmod(size, _WORD)
    # A record need not begin where a word does: the views say so, and one pass reads both.
    words = np.ndarray((count, whole), "<u8", records, 0, (size, _WORD))
    tails = np.ndarray((count, rest), np.uint8, records, whole * _WORD, (size, 1))
    width = -(-(whole + (rest > 0)) // _WORD)
    maps = np.zeros((len(rows), width), np.uint8)
    values, ends = np.empty(len(rows) * (whole + 1), np.uint64), np.empty(len(rows), np.int64)
    used = _squeeze(words, tails, rows, maps, values, ends)
    return joined(size, maps.tobytes(), width, values[:used].tobytes(), ends.tolist())


@njit(cache=True)
def _squeeze(words, tails, rows, maps, values, ends):
    used, whole = 0, words.shape[1]
    for k in range(rows.shape[0]):
        row, bits, byte = rows[k], 0, 0
        for word in range(whole):
            value = words[row, word]
            values[used] = value
            there = 1 if value != 0 else 0
            used += there
            bits = bits << 1 | there
            if word & 7 == 7:
                maps[k, byte] = bits
                bits, byte = 0, byte + 1
        last = np.uint64(0)
        for place in range(tails.shape[1]):
            last |= np.uint64(tails[row, place]) << np.uint64(8 * place)
        if byte < maps.shape[1]:
            there = 1 if last != 0 else 0
            if there:
                values[used] = last
                used += 1
            if tails.shape[1]:
                bits, whole_bits = bits << 1 | there, (whole & 7) + 1
            else:
                whole_bits = whole & 7
            maps[k, byte] = bits << (8 - whole_bits)
        ends[k] = 8 * used
    return used
