"""Random numbers that are functions of a seed and a key, so that every process draws the same and anyone can again."""

from typing import Any, Final

import numpy as np

from core.arrays import Array, Float64

Seed = int | Array
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_WORD: Final = (1 << 64) - 1


def uniforms(seed: Seed, key: Seed) -> Float64:
    """Numbers in (0, 1), one for each pair of seed and key as they broadcast (SplitMix64 of Steele et al., 2014)."""
    bits = _mixed(_mixed(_words(seed)) ^ _words(key))
    return np.asarray(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)


def uniform(seed: int, key: int) -> float:
    """One of `uniforms`, without an array."""
    return ((_mixed_word(_mixed_word(seed & _WORD) ^ (key & _WORD)) >> 11) + 0.5) * 2.0**-53


def gumbels(seed: Seed, key: Seed) -> Float64:
    """Of the standard Gumbel distribution, one for each pair of seed and key."""
    return np.asarray(-np.log(-np.log(uniforms(seed, key))))


def normals(seed: Seed, key: Seed) -> Float64:
    """Of the standard normal distribution, one for each pair of seed and key (Box and Muller, 1958)."""
    key = _words(key)
    radius = np.sqrt(-2.0 * np.log(uniforms(seed, key)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniforms(seed, ~key)))


def _words(numbers: Seed) -> Array:
    whole: Any = numbers & _WORD if isinstance(numbers, int) else numbers
    return np.atleast_1d(np.asarray(whole)).astype(np.uint64)


def _mixed(words: Array) -> Array:
    """Each word as one that shows nothing of it. Arrays wrap around silently, as they must here."""
    words = words + _STEP
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return np.asarray(words ^ (words >> np.uint64(31)))


def _mixed_word(word: int) -> int:
    """`_mixed` of one word."""
    word = (word + int(_STEP)) & _WORD
    word = ((word ^ (word >> 30)) * int(_FIRST)) & _WORD
    word = ((word ^ (word >> 27)) * int(_SECOND)) & _WORD
    return word ^ (word >> 31)
