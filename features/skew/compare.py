"""Compares feature rows value by value and keeps, for each feature, how many differ, by how much, and one example."""

import numpy as np

from core.arrays import Array, Float32, Int64
from features.definitions import NAMES
from features.logged import LoggedSlate
from features.skew.report import Example, FeatureDifference


def bits_differ(one: Float32, other: Float32) -> Array:
    """Where two float32 arrays are not the same to the last bit. bool"""
    left, right = (np.ascontiguousarray(values, np.float32).view(np.uint32) for values in (one, other))
    return np.asarray(left != right)


def ulps(one: Float32, other: Float32) -> Int64:
    """How many float32 values lie between two, 0 for the same or two NaN; NaN against a number is 2^32. int64"""
    left, right = (_ordered(values) for values in (one, other))
    missing = np.isnan(one) != np.isnan(other)
    both = np.isnan(one) & np.isnan(other)
    return np.where(both, 0, np.where(missing, 1 << 32, np.abs(left - right)))


def _ordered(values: Float32) -> Int64:
    """Integers in the order of the floats, neighbours one apart."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(1 << 31) - bits, bits)


class Comparison:
    """Gathers the differences of many slates."""

    def __init__(self) -> None:
        self._rows = np.zeros(len(NAMES), np.int64)
        self._most = np.zeros(len(NAMES))
        self._examples: dict[int, Example] = {}

    def add(self, logged: LoggedSlate, recomputed: Float32, wrong: Array) -> None:
        """One slate's values with where they are `wrong` [videos, features] bool."""
        if not wrong.any():
            return
        self._rows += wrong.sum(axis=0)
        gap = np.abs(logged.declared.astype(np.float64) - recomputed)
        gap = np.where(wrong, np.where(np.isnan(gap), np.inf, gap), 0.0)
        self._most = np.maximum(self._most, gap.max(axis=0))
        for column in np.flatnonzero(wrong.any(axis=0)).tolist():
            if column not in self._examples:
                row = int(np.argmax(wrong[:, column]))
                self._examples[column] = _example(logged, recomputed, row, column)

    def differences(self) -> tuple[FeatureDifference, ...]:
        """By feature, most rows first."""
        columns = sorted(np.flatnonzero(self._rows).tolist(), key=lambda column: (-self._rows[column], column))
        return tuple(
            FeatureDifference(
                feature=NAMES[column],
                rows=int(self._rows[column]),
                max_absolute=float(self._most[column]),
                example=self._examples[column],
            )
            for column in columns
        )


def _example(logged: LoggedSlate, recomputed: Float32, row: int, column: int) -> Example:
    read = logged.read[row]
    return Example(
        slate_id=logged.slate.slate_id,
        video_id=logged.slate.video_ids[row],
        logged=float(logged.features[row, column]),
        recomputed=float(recomputed[row, column]),
        viewer_version=int(logged.viewer["version"][0]),
        video_version=int(read["video_version"]),
        author_version=int(read["author_version"]),
        trend_version=int(read["trend_version"]),
    )
