"""BLAKE2b of 16 bytes (RFC 7693), as hashlib has it, of each event's viewer and id, in one compiled pass."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201, ANN202

import numpy as np
from numba import njit

_SIZE = 16
_BLOCK = 128
_START = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15], [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4], [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13], [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11], [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5], [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    np.int64,
)  # fmt: skip
_QUARTERS = np.array(
    [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
     [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]], np.int64,
)  # fmt: skip


@njit(cache=True, inline="always")
def _turned(word, bits):
    return word >> np.uint64(bits) | word << np.uint64(64 - bits)


@njit(cache=True)
def _compress(state, block, count, last, work):
    """One block of 16 words into the state [8]; `count` bytes were taken until now."""
    work[:8], work[8:] = state, _START
    work[12] ^= np.uint64(count)
    if last:
        work[14] = ~work[14]
    for turn in range(12):
        order = _ORDER[turn % 10]
        for quarter in range(8):
            a, b, c, d = _QUARTERS[quarter]
            va, vb, vc, vd = work[a], work[b], work[c], work[d]
            va += vb + block[order[2 * quarter]]
            vd = _turned(vd ^ va, 32)
            vc += vd
            vb = _turned(vb ^ vc, 24)
            va += vb + block[order[2 * quarter + 1]]
            vd = _turned(vd ^ va, 16)
            vc += vd
            vb = _turned(vb ^ vc, 63)
            work[a], work[b], work[c], work[d] = va, vb, vc, vd
    for word in range(8):
        state[word] ^= work[word] ^ work[word + 8]


@njit(cache=True)
def hashes(raw, firsts, seconds, out):
    """Hash of first + NUL + second of each event into `out` [events, 2] uint64; `firsts` and `seconds` [events, 2] are
    places in `raw` uint8."""
    state, block, work = np.empty(8, np.uint64), np.empty(16, np.uint64), np.empty(16, np.uint64)
    for i in range(firsts.shape[0]):
        middle = firsts[i, 1] - firsts[i, 0]
        size = middle + 1 + seconds[i, 1] - seconds[i, 0]
        state[:] = _START
        state[0] ^= np.uint64(0x01010000 | _SIZE)
        taken = 0
        while True:
            block[:] = 0
            part = min(size - taken, _BLOCK)
            for k in range(part):
                at = taken + k
                if at < middle:
                    byte = raw[firsts[i, 0] + at]
                elif at == middle:
                    byte = np.uint8(0)
                else:
                    byte = raw[seconds[i, 0] + at - middle - 1]
                block[k >> 3] |= np.uint64(byte) << np.uint64(8 * (k & 7))
            taken += part
            _compress(state, block, taken, taken == size, work)
            if taken == size:
                break
        out[i, 0], out[i, 1] = state[0], state[1]
