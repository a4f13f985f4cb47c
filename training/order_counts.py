"""Counts pairs in order with a tree of prefix sums, n log n instead of n squared (Fenwick, 1994)."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201

import numpy as np
from numba import njit


@njit(cache=True)
def lower_before(value, ends):
    """Over the rows of each block that stops at `ends`: how many rows of earlier blocks have a lower value, equal ones
    half; value [n] int64 from 0."""
    tree = np.zeros(value.max() + 2, np.int64)
    total, start = 0.0, 0
    for stop in ends:
        for row in range(start, stop):
            below, at = 0, value[row]
            while at > 0:
                below += tree[at]
                at -= at & -at
            upto, at = 0, value[row] + 1
            while at > 0:
                upto += tree[at]
                at -= at & -at
            total += below + 0.5 * (upto - below)
        for row in range(start, stop):
            at = value[row] + 1
            while at < tree.shape[0]:
                tree[at] += 1
                at += at & -at
        start = stop
    return total
