"""The protocol: which day teaches and which tests, and what was known when."""

import msgspec
import numpy as np
import pytest

from core.errors import InputError
from core.events import Impression
from features.definitions import FEATURES
from features.layout import DAY_MS
from tests.features.toy_state import batch, every_kind
from tests.features.worldlet import START_MS, catalogue
from training.protocol import frozen, frozen_until, lists, rolling_origin

MINE = np.array([feature.owner == "viewer" for feature in FEATURES])


def test_a_day_is_tested_by_what_was_learned_two_days_before_and_calibrated_on_the_day_between():
    day = np.array([10, 10, 11, 12, 12, 14])
    first, second = rolling_origin(day, [12, 14])
    assert [part.tolist() for part in (first.train, first.valid, first.test)] == [[0, 1], [2], [3, 4]]
    # Nobody watched on day 13: day 12 is the day before.
    assert [part.tolist() for part in (second.train, second.valid, second.test)] == [[0, 1, 2], [3, 4], [5]]


@pytest.mark.parametrize("test_day", [10, 11, 13])
def test_a_test_day_needs_impressions_and_two_days_before_it(test_day):
    with pytest.raises(InputError, match="cannot be a test day"):
        rolling_origin(np.array([10, 11, 12]), [test_day])


def test_a_state_is_frozen_at_midnight_of_the_logs_own_day_or_at_a_row_dated_ahead():
    # 8 hours ahead of UTC, day 1 begins at 16:00 of day 0, UTC.
    midnight = DAY_MS - 8 * 3_600_000
    time_ms = np.array([midnight + 5, midnight - 7])
    assert frozen_until(time_ms, np.array([1, 1]), 8.0).tolist() == [midnight, midnight - 7]


def test_a_list_is_a_viewers_day():
    codes = lists(np.array([0, 0, 0, 1]), np.array([5, 5, 6, 5]))
    assert codes[0] == codes[1] and len(set(codes.tolist())) == 3


@pytest.mark.parametrize("seed", range(2))
def test_a_frozen_viewer_is_the_one_of_a_log_that_ends_at_that_moment(seed):
    events = every_kind(catalogue(), 300, seed)
    driver, live = batch(events)
    known = np.minimum(live.time_ms, START_MS + (live.time_ms - START_MS) // 40_000_000 * 40_000_000)
    driver.forget()
    still = frozen(live, driver.run(known_until_ms=known))
    shown = [event for event in events if isinstance(event, Impression)]
    shown.sort(key=lambda event: event.time_ms)
    differ = 0
    for row in range(0, len(live), 7):
        past = [event for event in events if event.time_ms < known[row]]
        asked = msgspec.structs.replace(shown[row], event_id="asked")
        _, alone = batch([*past, asked])
        at = np.flatnonzero(alone.time_ms == live.time_ms[row])[-1]
        assert still.features[row, MINE].tobytes() == alone.features[at, MINE].tobytes()
        assert still.features[row, ~MINE].tobytes() == live.features[row, ~MINE].tobytes()
        assert still.past.video[row].tolist() == alone.past.video[at].tolist()
        differ += still.features[row].tobytes() != live.features[row].tobytes()
    assert differ > 3
