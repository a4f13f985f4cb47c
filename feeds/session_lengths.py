"""What a session's reactions to shorter and longer videos say for a video of a given length.

Viewers come in a mood for short or for long videos, which their first reactions give away. The length that divides
the two best is learned from the log.
"""

import json
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from core.arrays import Array, Float32, Float64, Int32, Int64
from core.errors import CorruptData
from features.layout import DAY_MS, LIKE_BIT, LONG_VIEW_BIT, MINUTE_MS, NEGATIVE_BIT, SKIP_BIT, STRONG_BIT

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

# Lengths at which sessions may divide: four to a doubling.
EDGES_MS: Final = np.array([round(5_000 * 2 ** (k / 4)) for k in range(28)], np.int64)
_HALF_LIFE_MS: Final = 10 * MINUTE_MS  # of a reaction within a session
_LONGEST_MS: Final = DAY_MS // 12
_OWN_WEIGHT: Final = 1.0  # watches that a session's mean counts at 0
_PRIOR_WEIGHT: Final = 20.0  # watches that count for no mood at all
_LEAST_GAIN: Final = 0.01  # correlation beyond that of no split, below which no length divides
_PLAIN: Final = 0.35  # of a watch that was neither long nor left at once
_POSITIVE: Final = LONG_VIEW_BIT | LIKE_BIT | STRONG_BIT
_NEGATIVE: Final = SKIP_BIT | NEGATIVE_BIT


@dataclass(frozen=True)
class SessionLengths:
    """`split_ms` divides the lengths, 0 where none does; `expected` is the mean outcome of a watch, 0 to 1, by how
    many of EDGES_MS its video's length reaches."""

    split_ms: int = 0
    expected: tuple[float, ...] = (_PLAIN,) * (len(EDGES_MS) + 1)

    def to_bytes(self) -> bytes:
        """A JSON document."""
        return json.dumps({"split_ms": self.split_ms, "expected": self.expected}).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SessionLengths":
        """What `to_bytes` wrote; CorruptData when it is something else."""
        try:
            document = json.loads(raw)
            known = cls(int(document["split_ms"]), tuple(map(float, document["expected"])))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptData("What sessions say of lengths cannot be read; train the bundle again.") from error
        if len(known.expected) != len(EDGES_MS) + 1:
            raise CorruptData("What sessions say of lengths has another number of lengths; train the bundle again.")
        return known

    def lift(
        self,
        owner: Array,
        video: Array,
        signal: Array,
        time_ms: Array,
        length: Array,
        now_ms: Array,
        candidate_ms: Array,
        length_ms: Array,
    ) -> Float32:
        """How much better, or worse, the recent watches of videos on a candidate's side of the split went than those on
        the other side, -1 to 1, for candidates of lengths `candidate_ms` [n].

        `owner` [n] is each candidate's history of [viewers, H], oldest first, with `length` [viewers] and the moment
        `now_ms` [viewers]; `length_ms` [videos]. A history may hold videos that came since: they say nothing. [n]
        float32
        """
        if not self.split_ms:
            return np.zeros(len(owner), np.float32)
        expected = np.asarray(self.expected)[np.searchsorted(EDGES_MS, length_ms, side="right")]
        sides = _sides(video, signal, time_ms, length, now_ms, length_ms, expected, self.split_ms)
        return np.asarray(np.where(candidate_ms >= self.split_ms, -sides[owner], sides[owner]), np.float32)


@njit(cache=True, inline="always")
def _outcome(signal):
    return 1.0 if signal & _POSITIVE else (0.0 if signal & _NEGATIVE else _PLAIN)


@njit(cache=True)
def _side(video, signal, time_ms, now_ms, length_ms, expected, split_ms):
    """What the watches [h] say for a short video; for a long one it is the opposite."""
    total, better, stop = 0.0, 0.0, video.shape[0]
    start = stop
    while start > 0 and now_ms - time_ms[start - 1] < _LONGEST_MS:
        start -= 1
        if video[start] < length_ms.shape[0]:
            weight = 0.5 ** ((now_ms - time_ms[start]) / _HALF_LIFE_MS)
            total += weight
            better += weight * (_outcome(signal[start]) - expected[video[start]])
    mean, contrast = better / (total + _OWN_WEIGHT), 0.0
    for k in range(start, stop):
        if video[k] < length_ms.shape[0]:
            weight = 0.5 ** ((now_ms - time_ms[k]) / _HALF_LIFE_MS)
            surprise = weight * (_outcome(signal[k]) - expected[video[k]] - mean)
            contrast += surprise if length_ms[video[k]] < split_ms else -surprise
    return contrast / (total + _PRIOR_WEIGHT)


@njit(cache=True)
def _sides(video, signal, time_ms, length, now_ms, length_ms, expected, split_ms):
    out = np.zeros(video.shape[0])
    for u in range(video.shape[0]):
        n = length[u]
        out[u] = _side(video[u, :n], signal[u, :n], time_ms[u, :n], now_ms[u], length_ms, expected, split_ms)
    return out


@njit(cache=True)
def _explained(indptr, video, signal, time_ms, length_ms, expected, split_ms, longest):
    """Sums of lift x surprise, lift^2 and surprise^2 over all watches, each with the watches before it."""
    both, lifts, surprises = 0.0, 0.0, 0.0
    for u in range(indptr.shape[0] - 1):
        for at in range(indptr[u], indptr[u + 1]):
            low = max(indptr[u], at - longest)
            past, marks, moments = video[low:at], signal[low:at], time_ms[low:at]
            lift = _side(past, marks, moments, time_ms[at], length_ms, expected, split_ms)
            if length_ms[video[at]] >= split_ms:
                lift = -lift
            surprise = _outcome(signal[at]) - expected[video[at]]
            both += lift * surprise
            lifts += lift * lift
            surprises += surprise * surprise
    return both, lifts, surprises


def fit_session_lengths(
    indptr: Int64, video: Int32, signal: Array, time_ms: Int64, length_ms: Array, longest: int
) -> SessionLengths:
    """The length by whose two sides a session's watches foretell the next one best, from watches [n], oldest first for
    each viewer as `indptr` [viewers + 1] cuts them; `longest` watches are remembered."""
    if not len(video):
        return SessionLengths()
    bucket = np.searchsorted(EDGES_MS, length_ms, side="right")
    went = np.where(signal & _POSITIVE, 1.0, np.where(signal & _NEGATIVE, 0.0, _PLAIN))
    expected = _means(bucket[video], went)
    columns = (indptr, video, signal, time_ms, length_ms, expected[bucket])
    undivided = _correlation(*_explained(*columns, 0, longest))
    gains = [_correlation(*_explained(*columns, split, longest)) - undivided for split in EDGES_MS]
    best = int(np.argmax(gains))
    split_ms = int(EDGES_MS[best]) if gains[best] >= _LEAST_GAIN else 0
    return SessionLengths(split_ms, tuple(expected.tolist()))


def _means(bucket: Array, went: Float64) -> Float64:
    """The mean of each bucket, pulled to the mean of all as by ten watches. [buckets]"""
    size = len(EDGES_MS) + 1
    total, count = np.bincount(bucket, went, minlength=size), np.bincount(bucket, minlength=size)
    return np.asarray((total + 10 * went.mean()) / (count + 10))


def _correlation(both: float, lifts: float, surprises: float) -> float:
    return float(both / max((lifts * surprises) ** 0.5, 1e-12))
