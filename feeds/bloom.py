"""Bloom filters over 64-bit hashes: a set that never forgets a member, and takes a known share of others for one.

Burton H. Bloom, "Space/time trade-offs in hash coding with allowable errors", CACM 1970; the places of a member are
h1 + i x h2 (Kirsch and Mitzenmacher, "Less hashing, same performance", 2006).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numba import njit

from core.arrays import Array, Bool

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

_LEAST_BITS = 1 << 10


def hashes_of(words: Sequence[str]) -> Array:
    """A hash of each word, the same in every process. [words] uint64"""
    return np.frombuffer(b"".join(blake2b(word.encode(), digest_size=8).digest() for word in words), np.uint64)


@dataclass(frozen=True, slots=True)
class Bloom:
    """`bits` [a power of two / 64] uint64, of which each member sets `places`."""

    bits: Array
    places: int

    @classmethod
    def sized(cls, members: int, false_positives: float) -> "Bloom":
        """An empty filter that takes at most this share of others for members once it has so many."""
        needed = max(members, 1) * math.log(1 / false_positives) / math.log(2) ** 2
        size = max(_LEAST_BITS, 1 << math.ceil(math.log2(needed)))
        return cls(np.zeros(size // 64, np.uint64), max(round(math.log2(1 / false_positives)), 1))

    def with_members(self, hashes: Array) -> "Bloom":
        """The same filter with these members too; this one stays as it is."""
        bits = self.bits.copy()
        _put(bits, hashes, self.places)
        return Bloom(bits, self.places)

    def has(self, hashes: Array) -> Bool:
        """Which may be members; all members are among them. [hashes] bool"""
        found = np.zeros(len(hashes), np.bool_)
        _find(self.bits, hashes, self.places, found)
        return found


@njit(cache=True, inline="always")
def _second(first):
    """Another hash of the same word, odd so that its multiples reach every place (splitmix64's mixing)."""
    mixed = (first ^ (first >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)


@njit(cache=True)
def _put(bits, hashes, places):
    mask = np.uint64(bits.shape[0] * 64 - 1)
    for n in range(hashes.shape[0]):
        place, step = hashes[n], _second(hashes[n])
        for _ in range(places):
            at = place & mask
            bits[at >> np.uint64(6)] |= np.uint64(1) << (at & np.uint64(63))
            place += step


@njit(cache=True, nogil=True)
def _find(bits, hashes, places, found):
    """Adds to `found` [hashes] what may be a member."""
    mask = np.uint64(bits.shape[0] * 64 - 1)
    for n in range(hashes.shape[0]):
        place, step, here = hashes[n], _second(hashes[n]), True
        for _ in range(places):
            at = place & mask
            if not (bits[at >> np.uint64(6)] >> (at & np.uint64(63))) & np.uint64(1):
                here = False
                break
            place += step
        found[n] = here
