"""A set of 64-bit keys in one array, for compiled code: open addressing, linear probing."""

import numpy as np
from numpy.typing import NDArray

from simulation.compiled import compiled

EMPTY = -1


def empty_set(expected: int) -> NDArray[np.int64]:
    """A set with room for `expected` keys at a load of at most 0.65."""
    size = 1 << int(np.ceil(np.log2(max(64.0, expected / 0.65))))
    return np.full(size, EMPTY, np.int64)


@compiled
def pair(first: int, second: int) -> int:
    """The key of a pair of row numbers."""
    key: int = (np.int64(first) << 32) | np.int64(second)  # type: ignore[assignment]
    return key


@compiled
def _slot(keys: NDArray[np.int64], key: int) -> int:
    """Where the key is, or the free place where it belongs."""
    mask = len(keys) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    place = np.int64(mixed >> np.uint64(32)) & mask
    while keys[place] != EMPTY and keys[place] != key:
        place = (place + 1) & mask
    found: int = place  # type: ignore[assignment]
    return found


@compiled
def contains(keys: NDArray[np.int64], key: int) -> bool:
    """Whether the key is in the set."""
    return bool(keys[_slot(keys, key)] == key)


@compiled
def add(keys: NDArray[np.int64], key: int) -> bool:
    """Put a key of 0 or more in; whether it is new. The caller leaves room."""
    place = _slot(keys, key)
    fresh = keys[place] != key
    keys[place] = key
    return bool(fresh)


@compiled
def add_all(keys: NDArray[np.int64], more: NDArray[np.int64]) -> None:
    """Put every key in."""
    for key in more:
        add(keys, key)
