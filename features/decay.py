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
def decayed(value, steps):
    """A fixed-point value after `steps` time steps, rounded to nearest; int64."""
    if steps <= 0 or value == 0:
        return value
    whole = steps // STEPS
    if whole > 45:
        return np.int64(0)
    shifted = (np.int64(value) * TABLE[steps % STEPS] + (1 << 21)) >> 22
    if whole > 0:
        shifted = (shifted + (np.int64(1) << (whole - 1))) >> whole
    return shifted


@njit(cache=True, inline="always")
def decay_factor(steps):
    """2^(-steps / STEPS) from the table, exact in float64."""
    if steps <= 0:
        return 1.0
    whole = steps // STEPS
    if whole > 45:
        return 0.0
    return TABLE[steps % STEPS] / 4194304.0 / np.float64(np.int64(1) << whole)
