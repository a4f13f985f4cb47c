"""The watches of every viewer in time order, as one CSR of plain arrays."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from core.arrays import Array, Bool, Float64, Int32, Int64
from core.errors import InputError
from core.room import MEMORY, Room, blocks
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
    each field's below its `profile_sizes` entry. Large arrays that are derived from these go to `room`. InputError
    when the arrays contradict one another."""

    indptr: Int64
    video: Int32
    time_ms: Int64
    signal: Array
    profile: Int32
    profile_sizes: tuple[int, ...]
    room: Room = MEMORY

    def __post_init__(self) -> None:
        size = int(self.indptr[-1])
        if not len(self.video) == len(self.time_ms) == len(self.signal) == size:
            raise InputError(f"indptr ends at {size}, which is not the number of watches.")
        if self.profile.shape != (self.viewers, len(self.profile_sizes)):
            raise InputError(f"profile has shape {self.profile.shape}, not one row for each of {self.viewers} viewers.")
        for span in blocks(size):
            backwards = np.diff(self.time_ms[span.start : span.stop + 1]) < 0
            first = np.searchsorted(self.indptr, [span.start + 1, span.stop + 1])
            starts = self.indptr[slice(*first)]
            backwards[starts[starts - span.start - 1 < len(backwards)] - span.start - 1] = 0
            if backwards.any():
                at = span.start + int(np.argmax(backwards)) + 1
                raise InputError(f"Watch {at} is older than the one before.")

    @property
    def viewers(self) -> int:
        """How many viewers there are."""
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.video)

    def viewer(self) -> Int32:
        """The viewer of each watch. [n] int32"""
        return np.repeat(np.arange(self.viewers, dtype=np.int32), np.diff(self.indptr))

    def viewer_of(self, at: Int64) -> Int32:
        """The viewers of the watches at these positions [n]. [n] int32"""
        return (np.searchsorted(self.indptr, at, side="right") - 1).astype(np.int32)

    def where(self, keep: Bool) -> "Interactions":
        """Only the watches that the mask [n] keeps; every viewer stays."""
        if keep.all():
            return self
        kept = np.zeros(len(keep) + 1, np.int64 if len(keep) >= 2**31 else np.int32)
        np.cumsum(keep, out=kept[1:])
        columns = [self._kept(column, keep, int(kept[-1])) for column in (self.video, self.time_ms, self.signal)]
        indptr = kept[self.indptr].astype(np.int64)
        return replace(self, indptr=indptr, video=columns[0], time_ms=columns[1], signal=columns[2])

    def _kept(self, column: Array, keep: Bool, count: int) -> Array:
        out, done = self.room.empty(count, column.dtype), 0
        for span in blocks(len(keep)):
            part = column[span][keep[span]]
            out[done : done + len(part)] = part
            done += len(part)
        return out

    def before(self, until_ms: int) -> "Interactions":
        """Only the watches with time < until_ms."""
        return self.where(self.time_ms < until_ms)

    def of_some(self, most: int, seed: int) -> "Interactions":
        """At most about so many watches: all those of viewers drawn at random. Everything where that is fewer."""
        if len(self) <= most:
            return self
        counts = np.diff(self.indptr)
        order = np.random.default_rng(seed).permutation(self.viewers)
        drawn = np.zeros(self.viewers, np.bool_)
        drawn[order[np.cumsum(counts[order]) <= most]] = True
        return self.where(np.repeat(drawn, counts))


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
    return np.asarray(_largest(weights)[signal & (SIGNALS - 1)])


@cache
def _largest(weights: tuple[float, ...]) -> Float64:
    """The largest weight of each signal. [SIGNALS] float64"""
    flags = (np.arange(SIGNALS)[:, None] >> np.arange(SIGNAL_BITS)) & 1
    largest = np.where(flags == 1, np.asarray(weights[1:], np.float64), -np.inf).max(axis=1)
    largest[0] = weights[0]
    return np.asarray(largest)
