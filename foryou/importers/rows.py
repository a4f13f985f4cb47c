"""Rows of a log, checked a column at a time: what is kept, what is rejected and why, what is clamped."""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from core.arrays import Array, Bool, Int64
from foryou.importers.cells import Numbers, cell_column, flags, milliseconds, numbers, texts
from foryou.importers.mapping import FLAGS, Columns, Mapping

EARLIEST_MS: Final = 1_104_537_600_000  # 1 January 2005, UTC: before any short video
AHEAD_MS: Final = 86_400_000
MOST_PLAYS: Final = 5
_MOST_LENGTH_MS: Final = 30 * 86_400_000

Lengths = MappingOf[str, int]


class Reasons:
    """The first reason against each row, "" where there is none."""

    def __init__(self, rows: int) -> None:
        self.codes = np.zeros(rows, np.int16)
        self.words = [""]

    def reject(self, mask: Array, reason: str) -> None:
        """Note the reason for the rows of the mask that have none yet."""
        new = mask & (self.codes == 0)
        if new.any():
            self.words.append(reason)
            self.codes[new] = len(self.words) - 1

    def check(self, found: Numbers, name: str, needed: bool) -> None:
        """Reject what is wrong, and what is missing where it is needed."""
        if needed:
            self.reject(found.missing, f"{name} is missing")
        self.reject(found.wrong, f"{name} is not a number")

    @property
    def good(self) -> Bool:
        """Rows without a reason. [rows] bool"""
        good: Bool = self.codes == 0
        return good


@dataclass(frozen=True, slots=True)
class Rows:
    """The kept rows of a chunk as columns; `index` [kept] is their place in the chunk."""

    index: Int64
    texts: dict[str, list[str]]
    numbers: dict[str, Int64]
    propensity: list[float | None]
    labels: dict[str, list[bool | None]]
    clamped: int


class RowChecker:
    """Reads chunks of a log through its mapping; `lengths` gives the length of a video where the log does not."""

    def __init__(self, mapping: Mapping, lengths: Lengths, now_ms: int) -> None:
        self._columns: Columns = mapping.columns
        self._zone = mapping.utc_offset_h
        self._lengths = lengths
        self._latest_ms = now_ms + AHEAD_MS

    def check(self, batch: Any) -> tuple[Rows, Reasons]:
        """The rows that can become events, and the reasons against the others."""
        reasons = Reasons(batch.num_rows)
        words = self._words(batch, reasons)
        times = self._times(batch, reasons)
        plays, lengths = self._durations(batch, words["video_id"], reasons)
        ends = self._optional_time(batch, "watch_end_ms", reasons)
        bound = MOST_PLAYS * lengths
        clamped = (plays > bound) & reasons.good
        plays = np.minimum(plays, bound)
        values: dict[str, Array] = {"time_ms": times, "play_ms": plays, "length_ms": lengths}
        values["watch_end_ms"] = np.where(ends == 0, times + plays, ends)
        reasons.reject(values["watch_end_ms"] < times, "watch_end_ms is before time_ms")
        known = self._optional_time(batch, "ingested_ms", reasons)
        values["delay_ms"] = np.where(known == 0, 0, np.maximum(known - values["watch_end_ms"], 0))
        marks = {name: flags(self._cells(batch, name)) for name in FLAGS}
        for name, found in marks.items():
            reasons.check(found, name, needed=False)
            values[name] = found.values
        place = numbers(self._cells(batch, "position"))
        reasons.check(place, "position", needed=False)
        values["position"] = np.clip(place.values, 0, 2**31 - 1)
        chance = self._propensity(batch, reasons)
        return _kept(reasons, words, values, marks, chance, int((clamped & reasons.good).sum())), reasons

    def _cells(self, batch: Any, name: str) -> Any:
        return cell_column(batch, self._columns.get(name))

    def _words(self, batch: Any, reasons: Reasons) -> dict[str, list[str]]:
        words = {}
        for name in ("viewer_id", "video_id", "author_id", "session_id", "slate_id", "event_id", "surface"):
            words[name], wrong = texts(self._cells(batch, name))
            if name in ("viewer_id", "video_id"):
                empty = np.fromiter(map(len, words[name]), np.int64, len(words[name])) == 0
                reasons.reject(empty, f"{name} is missing")
            reasons.reject(wrong, f"{name} is too long or not text")
        return words

    def _times(self, batch: Any, reasons: Reasons) -> Int64:
        origin = self._columns["time_ms"]
        found = milliseconds(cell_column(batch, origin), origin.unit, self._zone)
        reasons.check(found, "time_ms", needed=True)
        reasons.reject(self._absurd(found.values), "time_ms is before 2005 or in the future")
        return _whole(found)

    def _optional_time(self, batch: Any, name: str, reasons: Reasons) -> Int64:
        """The time, 0 where the row has none."""
        origin = self._columns.get(name)
        if origin is None:
            return np.zeros(batch.num_rows, np.int64)
        found = milliseconds(cell_column(batch, origin), origin.unit, self._zone)
        reasons.check(found, name, needed=False)
        absurd = self._absurd(found.values) & ~found.missing
        reasons.reject(absurd, f"{name} is before 2005 or in the future")
        return np.where(found.missing, 0, _whole(found))

    def _absurd(self, values: Array) -> Bool:
        absurd: Bool = (values < EARLIEST_MS) | (values > self._latest_ms)
        return absurd

    def _durations(self, batch: Any, videos: list[str], reasons: Reasons) -> tuple[Int64, Int64]:
        found = {}
        for name in ("play_ms", "length_ms"):
            origin = self._columns.get(name)
            unit = "ms" if origin is None else origin.unit
            found[name] = milliseconds(cell_column(batch, origin), unit)
        length = found["length_ms"]
        if "length_ms" not in self._columns:
            known = np.array([self._lengths.get(video, 0) for video in videos], np.float64)
            length = Numbers(known, known == 0, length.wrong)
        reasons.check(found["play_ms"], "play_ms", needed=True)
        reasons.reject(found["play_ms"].values < 0, "play_ms is negative")
        reasons.check(length, "length_ms", needed=True)
        reasons.reject(length.values <= 0, "length_ms is not above zero")
        reasons.reject(length.values > _MOST_LENGTH_MS, "length_ms is over 30 days")
        return _whole(found["play_ms"]), _whole(length)

    def _propensity(self, batch: Any, reasons: Reasons) -> Numbers:
        found = numbers(self._cells(batch, "propensity"))
        reasons.check(found, "propensity", needed=False)
        outside = ~found.missing & ((found.values <= 0) | (found.values > 1))
        reasons.reject(outside, "propensity is not above 0 and at most 1")
        return found


def _whole(found: Numbers) -> Int64:
    """Whole numbers; what no clock or video can reach becomes a number that its check rejects."""
    return np.clip(found.values, -(2.0**53), 2.0**53).astype(np.int64)


def _kept(
    reasons: Reasons,
    words: dict[str, list[str]],
    values: dict[str, Array],
    marks: dict[str, Numbers],
    chance: Numbers,
    clamped: int,
) -> Rows:
    index = np.flatnonzero(reasons.good)
    some = len(index) < len(reasons.codes)
    texts_of = {name: [column[i] for i in index] if some else column for name, column in words.items()}
    return Rows(
        index,
        texts_of,
        {name: column[index].astype(np.int64) for name, column in values.items()},
        _or_none(chance.values[index].tolist(), chance.missing[index]),
        {
            name: _or_none((marks[name].values[index] > 0).tolist(), marks[name].missing[index])
            for name in ("long_view", "click")
        },
        clamped,
    )


def _or_none(values: list[Any], missing: Bool) -> list[Any]:
    if not missing.any():
        return values
    return [None if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]
