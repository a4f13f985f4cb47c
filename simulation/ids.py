"""Public names of rows: viewers u123, creators c123 (a creator is no viewer), videos v123, topics t7."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

VIEWER, CREATOR, VIDEO, TOPIC, REGION, LANGUAGE, SESSION, EVENT = "u", "c", "v", "t", "r", "l", "s", "e"


def name_all(prefix: str, rows: NDArray[np.integer[Any]]) -> pa.Array:
    """Names of many rows as an Arrow string array."""
    return pc.binary_join_element_wise(prefix, pc.cast(pa.array(rows), pa.string()), "")


def row_of(name: str, prefix: str) -> int:
    """The row behind a name; raises ValueError for a name of another kind."""
    if not name.startswith(prefix) or not name[1:].isdecimal():
        raise ValueError(f"not a name of the kind {prefix}: {name!r}")
    return int(name[1:])


def bits(names: Callable[[int], str], mask: int, width: int) -> Sequence[str]:
    """Names of the set bits."""
    return [names(bit) for bit in range(width) if mask >> bit & 1]
