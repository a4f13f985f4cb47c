"""The watches of every viewer in time order, as one CSR of plain arrays."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array, Bool, Float64, Int32, Int64
from core.errors import InputError
from features.layout import CLICK_BIT, LIKE_BIT, LONG_VIEW_BIT, NEGATIVE_BIT, SKIP_BIT, STRONG_BIT

LONG_VIEW: Final = LONG_VIEW_BIT
LIKE: Final = LIKE_BIT
STRONG: Final = STRONG_BIT  # comment, share, save or follow
SKIP: Final = SKIP_BIT  # left within 3 s
NEGATIVE: Final = NEGATIVE_BIT  # not interested, hide or report
CLICK: Final = CLICK_BIT

SIGNAL_BITS: Final = 6
SIGNALS: Final = 1 << SIGNAL_BITS
POSITIVE: Final = LONG_VIEW | LIKE | STRONG


@dataclass(frozen=True)
class Interactions:
    """Watches, oldest first for each viewer: `indptr` [viewers + 1] int64 into `video` [n] int32 (VideoTable rows),
    `time_ms` [n] int64 and `signal` [n] uint8 (bit flags); `profile` [viewers, fields] int32 codes (0 = unknown),
    each field's below its `profile_sizes` entry. InputError when the arrays contradict one another."""

    indptr: Int64
    video: Int32
    time_ms: Int64
    signal: Array
    profile: Int32
    profile_sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        size = int(self.indptr[-1])
        if not len(self.video) == len(self.time_ms) == len(self.signal) == size:
            raise InputError(f"indptr ends at {size}, which is not the number of watches.")
        if self.profile.shape != (self.viewers, len(self.profile_sizes)):
            raise InputError(f"profile has shape {self.profile.shape}, not one row for each of {self.viewers} viewers.")
        backwards = np.diff(self.time_ms) < 0
        backwards[self.indptr[1:-1][(self.indptr[1:-1] > 0) & (self.indptr[1:-1] < size)] - 1] = 0
        if backwards.any():
            raise InputError(f"Watch {int(np.argmax(backwards)) + 1} is older than the one before.")

    @property
    def viewers(self) -> int:
        """How many viewers there are."""
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.video)

    def viewer(self) -> Int32:
        """The viewer of each watch. [n] int32"""
        return np.repeat(np.arange(self.viewers, dtype=np.int32), np.diff(self.indptr))

    def where(self, keep: Bool) -> "Interactions":
        """Only the watches that the mask [n] keeps; every viewer stays."""
        kept = np.concatenate([[0], np.cumsum(keep)]).astype(np.int64)
        return Interactions(
            kept[self.indptr],
            self.video[keep],
            self.time_ms[keep],
            self.signal[keep],
            self.profile,
            self.profile_sizes,
        )

    def before(self, until_ms: int) -> "Interactions":
        """Only the watches with time < until_ms."""
        return self.where(self.time_ms < until_ms)


def interactions_of(
    viewer: Int32, video: Int32, time_ms: Int64, signal: Array, profile: Int32, sizes: tuple[int, ...]
) -> Interactions:
    """The CSR of watches [n] in any order; watches of one viewer at one time keep their order."""
    order = np.lexsort((time_ms, viewer))
    indptr = np.zeros(len(profile) + 1, np.int64)
    np.cumsum(np.bincount(viewer, minlength=len(profile)), out=indptr[1:])
    return Interactions(
        indptr,
        video[order].astype(np.int32),
        time_ms[order].astype(np.int64),
        signal[order].astype(np.uint8),
        profile.astype(np.int32),
        sizes,
    )


def signal_weight(signal: Array, weights: tuple[float, ...]) -> Float64:
    """The largest weight among a watch's flags (`weights`: no flag, then each bit, lowest first). [n] float64"""
    bits = (signal[:, None] >> np.arange(SIGNAL_BITS, dtype=np.uint8)) & 1
    by_bit = np.where(bits == 1, np.asarray(weights[1:], np.float64), -np.inf).max(axis=1)
    return np.where(np.isneginf(by_bit), weights[0], by_bit)
