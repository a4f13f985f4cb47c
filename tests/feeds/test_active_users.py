"""Who counts as active, worked out by hand, and the map that says so."""

import asyncio
import itertools

import numpy as np
import pytest

from backends.memory import MemoryBitmaps
from backends.memory_fanout import MemoryLedger
from core.errors import CorruptData
from features.layout import COMMENTS, DAY_MS, LIKES, SHARES, STEPS, UNIT, VIEWER_DTYPE
from features.packed import pack_rows
from feeds.active_users import ActiveConfig, ActiveUsers

NOW_MS = 20_000 * DAY_MS  # 2024-10-04
NAMES = itertools.count(1)


class Town:
    """Active users over ports in memory."""

    def __init__(self):
        self.now_ms = NOW_MS
        self.ledger, self.bitmaps = MemoryLedger(self.clock, lambda: "e"), MemoryBitmaps(self.clock)
        self.active = ActiveUsers(
            self.bitmaps, self.ledger, self.ledger, self.clock, lambda: f"n{next(NAMES)}", ActiveConfig()
        )

    def clock(self):
        return self.now_ms

    def refresh(self, *viewers):
        asyncio.run(self.active.refresh(viewers))

    def among(self, *viewers):
        return asyncio.run(self.active.among(viewers))


def row(opened_days, watched_days, likes=6.0, comments=0.0, shares=0.0):
    """A viewer's packed row; counts as of now, in the 30-day half-life."""
    record = np.zeros(1, VIEWER_DTYPE)
    record["session"][0, 1] = NOW_MS - opened_days * DAY_MS
    record["history_time_ms"][0, 3] = NOW_MS - watched_days * DAY_MS
    for action, count in ((LIKES, likes), (COMMENTS, comments), (SHARES, shares)):
        record["counts"][0, 1, action] = round(count * UNIT)
    record["steps"][0, 1] = NOW_MS // (30 * DAY_MS // STEPS)
    return pack_rows(record)[0]


@pytest.mark.parametrize(
    ("opened", "watched", "counts", "expected"),
    [
        (0, 0, {}, True),
        (7, 3, {}, True),
        (7.01, 3, {}, False),
        (3, 3.01, {}, False),
        (0, 0, {"likes": 5}, False),  # more than 5
        (0, 0, {"likes": 2, "comments": 2, "shares": 1.5}, True),
    ],
)
def test_an_active_viewer_opened_watched_and_engaged(opened, watched, counts, expected):
    chosen = Town().active.chosen([("ann", row(opened, watched, **counts))])
    assert chosen == (["ann"] if expected else [])


def test_engagement_is_halved_in_thirty_days():
    town = Town()
    town.now_ms += 30 * DAY_MS
    engaged = {}
    for likes in (9.9, 10.1):
        record = np.frombuffer(bytearray(row(0, 0, likes)), VIEWER_DTYPE)
        record["session"][0, 1] = record["history_time_ms"][0, 3] = town.now_ms
        engaged[likes] = town.active.chosen([("ann", pack_rows(record)[0])])
    assert engaged == {9.9: [], 10.1: ["ann"]}


def test_a_row_that_is_none_of_ours_is_refused():
    with pytest.raises(CorruptData):
        Town().active.chosen([("ann", b"short")])


def test_within_a_date_users_are_added_and_the_next_date_begins_anew():
    town = Town()
    assert town.among("ann", "bo") == [False, False]
    town.refresh("ann")
    town.refresh("bo")
    assert town.among("bo", "ann", "cy") == [True, True, False]
    assert asyncio.run(town.bitmaps.test("active_users:{2024-10-04}", [0, 1, 2, 3])) == [True, True, True, False]
    town.now_ms += DAY_MS
    assert town.among("ann") == [True]  # until the first refresh of the date
    town.refresh("cy")
    assert town.among("ann", "bo", "cy") == [False, False, True]


def test_a_lost_map_has_nobody_and_the_next_one_another_name():
    town = Town()
    town.refresh("ann")
    before = asyncio.run(town.ledger.rules([])).active
    asyncio.run(town.bitmaps.delete(["active_users:{2024-10-04}"]))
    assert town.among("ann") == [False]
    assert asyncio.run(town.ledger.rules([])).active == ""
    town.refresh("ann")
    assert town.among("ann") == [True]
    assert asyncio.run(town.ledger.rules([])).active not in ("", before)


def test_nobody_active_is_a_map_too():
    town = Town()
    town.refresh()
    assert town.among("ann") == [False]
    assert asyncio.run(town.ledger.rules([])).active.startswith("2024-10-04/")
