"""Exponential decay on a grid of time steps, in integers or exact in float64: the one function that ages a value.

Numba's cache watches the file of the compiled function alone: after a change here, in raw, reads or writes,
remove `__pycache__` so that what calls it compiles again.
"""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201

import numpy as np
from numba import njit

from features.layout import STEPS, TABLE


@njit(cache=True, inline="always")
def decay_parts(steps):
    """What `steps` time steps do to any value: a factor in units of 2^-22, then a shift to the right."""
    if steps <= 0:
        return np.int64(1 << 22), np.int64(0)
    whole = steps // STEPS
    if whole > 45:
        return np.int64(0), np.int64(0)
    return TABLE[steps % STEPS], np.int64(whole)


@njit(cache=True, inline="always")
def faded(value, factor, shift):
    """A fixed-point value below 2^41 under `decay_parts`, each of the two rounded to nearest; int64."""
    scaled = (np.int64(value) * factor + (1 << 21)) >> 22
    return (scaled + ((np.int64(1) << shift) >> 1)) >> shift


@njit(cache=True, inline="always")
def decayed(value, steps):
    """A fixed-point value after `steps` time steps; int64."""
    factor, shift = decay_parts(steps)
    return faded(value, factor, shift)


@njit(cache=True, inline="always")
def decay_factor(steps):
    """2^(-steps / STEPS) from the table, exact in float64."""
    if steps <= 0:
        return 1.0
    whole = steps // STEPS
    if whole > 45:
        return 0.0
    return TABLE[steps % STEPS] / 4194304.0 / np.float64(np.int64(1) << whole)
