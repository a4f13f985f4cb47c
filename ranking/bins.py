"""One binning for every head: raw feature values -> the uint8 codes on which all trees split."""

from collections.abc import Mapping
from typing import Self

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Float32
from core.errors import InputError, SchemaMismatch

Codes = NDArray[np.uint8]

MAX_BINS = 254
NAN_CODE = 0
_TABLE = 256  # a row of the search table: 255 bounds at most, then +inf
_BLOCK = 64  # rows searched together, so that their steps overlap


class BinsConfig(BaseModel):
    """How finely the values of a feature are told apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bins: int = Field(default=MAX_BINS, ge=2, le=MAX_BINS, description="Bins per feature, NaN's not counted.")


class SharedBins:
    """Upper bounds per feature; a value's code is 1 + the number of bounds below it, NaN's is 0.

    `upper`: [features, 256] float32, ascending, padded with +inf. Bounds are inclusive. -inf has
    code 1, +inf the feature's last code; as NaN sorts below every number, a tree that splits at 0
    tells it apart from all of them.
    """

    def __init__(self, upper: Float32) -> None:
        if upper.ndim != 2 or upper.shape[1] != _TABLE or not _ascending(upper):
            raise SchemaMismatch(f"Bin bounds must be ascending rows of {_TABLE}, and were {upper.shape}; fit again.")
        self.upper = np.ascontiguousarray(upper, np.float32)
        self.bins = 1 + np.isfinite(self.upper).sum(axis=1)
        self._first_step = _first_steps(self.bins)

    @property
    def features(self) -> int:
        """Number of features."""
        return int(self.upper.shape[0])

    @classmethod
    def fit(cls, sample: Float32, config: BinsConfig | None = None) -> Self:
        """Bounds from `sample` [rows, features] float32; a bin for each value where few differ."""
        config = config or BinsConfig()
        if sample.ndim != 2 or sample.shape[0] == 0:
            raise InputError(f"Bins need at least one sampled row, and got shape {sample.shape}.")
        upper = np.full((sample.shape[1], _TABLE), np.inf, np.float32)
        for feature, row in enumerate(upper):
            bounds = _bounds(sample[:, feature].astype(np.float32), config.max_bins)
            row[: bounds.size] = bounds
        return cls(upper)

    def codes(self, values: Float32) -> Codes:
        """Codes [rows, features] uint8 of `values` [rows, features]; each feature is contiguous.

        Raises SchemaMismatch when the number of features differs.
        """
        if values.ndim != 2 or values.shape[1] != self.features:
            raise SchemaMismatch(
                f"The bins were fitted on {self.features} features and got shape {values.shape};"
                " compute the features that the bundle lists."
            )
        codes = np.empty((self.features, values.shape[0]), np.uint8)
        if values.dtype != np.float32:
            values = values.astype(np.float32)
        _search(values, self.upper, self._first_step, codes)
        return codes.T

    def arrays(self) -> dict[str, Array]:
        """What `from_arrays` needs."""
        return {"upper": self.upper}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Self:
        """The bins that gave these arrays."""
        return cls(arrays["upper"])


def _ascending(upper: Float32) -> bool:
    """Whether no bound is NaN or below its neighbour, and each row ends with +inf."""
    rows_end = bool((upper[:, -1] == np.inf).all())
    return rows_end and bool((upper[:, :-1] <= upper[:, 1:]).all())


def _first_steps(bins: NDArray[np.int64]) -> NDArray[np.int64]:
    """The widest step of a binary search over each feature's bounds: a power of two, or 0."""
    bounds = bins - 1
    exponent = np.ceil(np.log2(bounds + 1)).astype(np.int64) - 1
    steps: NDArray[np.int64] = np.where(bounds > 0, 1 << np.maximum(exponent, 0), 0)
    return steps


def _bounds(column: Float32, max_bins: int) -> Float32:
    """Inclusive upper bounds of all bins but the last, between neighbouring sampled values."""
    values, counts = np.unique(column[~np.isnan(column)], return_counts=True)
    few = values.size <= max_bins
    last = np.arange(values.size - 1) if few else _greedy_ends(counts, max_bins)
    return _between(values[last], values[last + 1])


def _between(low: Float32, high: Float32) -> Float32:
    """A finite bound b with low <= b < high: the midpoint where that is one, otherwise `low`."""
    with np.errstate(invalid="ignore", over="ignore"):
        middle = ((low.astype(np.float64) + high.astype(np.float64)) / 2).astype(np.float32)
    bound = np.where((middle >= low) & (middle < high) & np.isfinite(middle), middle, low)
    lowest = np.float32(np.finfo(np.float32).min)
    return np.maximum(bound, lowest).astype(np.float32)  # a bound of -inf would count as none


@njit(cache=True, nogil=True)
def _greedy_ends(counts: NDArray[np.int64], max_bins: int) -> NDArray[np.int64]:
    """Index of the last distinct value of each bin but the last, for more values than bins.

    A value with more than an equal share has a bin of its own, and the others share what is left
    equally, as in LightGBM's greedy rule, which however lets a small neighbour join a big value.
    """
    rows = counts.sum()
    big = counts * max_bins >= rows
    small_rows = rows - counts[big].sum()
    small_bins = max_bins - big.sum()
    share = small_rows / max(small_bins, 1)
    ends = np.empty(max_bins - 1, np.int64)
    found, held = 0, 0
    for i in range(counts.size - 1):
        if found == max_bins - 1:
            break
        held += counts[i]
        small_rows -= 0 if big[i] else counts[i]
        before_big = big[i + 1] and small_bins > 1
        if big[i] or held >= share or before_big:
            ends[found] = i
            found, held = found + 1, 0
            if not big[i]:
                small_bins -= 1
                share = small_rows / max(small_bins, 1)
    return ends[:found]


@njit(cache=True, nogil=True)
def _search(values: Float32, upper: Float32, first_step: NDArray[np.int64], codes: Codes) -> None:
    """Branch-free binary search, one feature and one block of rows at a time.

    `values`: [rows, features] in any layout; `codes`: [features, rows], written.
    """
    rows, features = values.shape
    x = np.empty(_BLOCK, np.float32)
    below = np.empty(_BLOCK, np.uint64)
    for start in range(0, rows, _BLOCK):
        size = min(_BLOCK, rows - start)
        for f in range(features):
            for r in range(size):
                x[r] = values[start + r, f]
            below[:] = 0
            step = first_step[f]
            while step > 0:
                bound = upper[f, step - 1 :]
                for r in range(_BLOCK):
                    below[r] += np.uint64(step) * np.uint64(bound[below[r]] < x[r])
                step >>= 1
            for r in range(size):
                codes[f, start + r] = NAN_CODE if np.isnan(x[r]) else below[r] + np.uint64(1)
