"""Rows that are squeezed where they lie are what the plain way makes of them."""

import numpy as np
import pytest

from core.sparse import squeeze
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.stream.packing import squeezed


@pytest.mark.parametrize("dtype", [VIEWER_DTYPE, COUNTS_DTYPE, np.dtype([("a", "u1")]), np.dtype([("a", "<i8", (8,))])])
def test_rows_are_squeezed_as_the_plain_way_does_it(dtype):
    rng = np.random.default_rng(0)
    for used in (0.0, 0.02, 0.9):
        records = np.zeros(50, dtype)
        raw = records.view(np.uint8).reshape(50, -1)
        raw[:] = rng.integers(0, 256, raw.shape) * (rng.random(raw.shape) < used)
        rows = rng.permutation(50)[:31]
        assert squeezed(records, rows) == squeeze([raw[row].tobytes() for row in rows])
