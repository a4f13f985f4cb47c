"""The split in time: towers learn first, heads after them, the last part stops and calibrates."""

from dataclasses import dataclass

import numpy as np

from core.arrays import Array
from core.errors import InputError
from features.layout import DAY_MS


@dataclass(frozen=True, slots=True)
class Split:
    """Moments in Unix ms: towers [.., heads_from), heads [heads_from, valid_from), validation [valid_from, test_from),
    test [test_from, test_until)."""

    start_ms: int
    heads_from_ms: int
    valid_from_ms: int
    test_from_ms: int
    test_until_ms: int


def day_of(time_ms: Array, utc_offset_h: float) -> Array:
    """Days since 1970 in the log's own calendar. [n] int64"""
    return np.asarray((time_ms + int(utc_offset_h * 3_600_000)) // DAY_MS, np.int64)


def day_start_ms(day: int, utc_offset_h: float) -> int:
    """The first millisecond of a day."""
    return day * DAY_MS - int(utc_offset_h * 3_600_000)


def _last_full_day_ms(known: Array, days: Array, valid_share: float, utc_offset_h: float) -> int:
    """The start of the last day from which at least a third of the wanted validation share is left: a log often ends
    with the first minutes of a day."""
    starts = [day_start_ms(int(day), utc_offset_h) for day in days[2:]]
    enough = [start for start in starts if (known >= start).sum() >= valid_share / 3 * len(known)]
    return max(enough, default=starts[0])


def split_at(
    time_ms: Array, tower_share: float, valid_share: float, utc_offset_h: float, test_day: int | None = None
) -> Split:
    """Cut impressions [n] (time order) at day boundaries where there are at least four days, else anywhere.

    With `test_day` that day is held out and later impressions are not used at all.
    """
    end = int(time_ms[-1]) + 1
    test_from = day_start_ms(test_day, utc_offset_h) if test_day is not None else end
    until = test_from + DAY_MS if test_day is not None else end
    known = time_ms[time_ms < test_from]
    if len(known) < 100:
        raise InputError(f"Only {len(known)} impressions lie before the test day; 100 are the least to train on.")
    if test_day is not None and not ((time_ms >= test_from) & (time_ms < until)).any():
        raise InputError("No impression lies on the test day; choose a day that the log has.")
    heads_from = int(known[int(len(known) * tower_share)])
    valid_from = int(known[int(len(known) * (1 - valid_share))])
    days = np.unique(day_of(known, utc_offset_h))
    if len(days) >= 4:
        last = _last_full_day_ms(known, days, valid_share, utc_offset_h)
        first = day_start_ms(int(day_of(np.array([heads_from]), utc_offset_h)[0]), utc_offset_h)
        valid_from = last
        # The towers' last day stops them, so that they need two where there are enough.
        least = day_start_ms(int(days[0]) + (2 if len(days) >= 5 else 1), utc_offset_h)
        heads_from = min(max(first, least), last - DAY_MS)
    return Split(int(time_ms[0]), heads_from, valid_from, test_from, until)
