"""The split in time."""

import numpy as np
import pytest

from core.errors import InputError
from features.layout import DAY_MS
from training.split import day_of, day_start_ms, split_at


def test_parts_follow_each_other_and_fall_on_days_when_there_are_enough() -> None:
    time_ms = np.sort(np.random.default_rng(0).integers(0, 10 * DAY_MS, 5_000))
    split = split_at(time_ms, 0.45, 0.12, 0.0)
    assert split.heads_from_ms < split.valid_from_ms < split.test_from_ms == split.test_until_ms
    assert split.heads_from_ms % DAY_MS == 0 and split.valid_from_ms == 9 * DAY_MS


@pytest.mark.parametrize(("days", "towers"), [(4, 1), (5, 2), (8, 2), (14, 3)])
def test_towers_have_two_days_where_there_are_five_of_which_the_last_stops_them(days: int, towers: int) -> None:
    time_ms = np.sort(np.random.default_rng(0).integers(0, days * DAY_MS, 500 * days))
    assert split_at(time_ms, 0.22, 0.12, 0.0).heads_from_ms == towers * DAY_MS


def test_a_test_day_and_everything_after_it_is_left_out() -> None:
    time_ms = np.sort(np.random.default_rng(0).integers(0, 10 * DAY_MS, 5_000))
    split = split_at(time_ms, 0.45, 0.12, 0.0, test_day=6)
    assert (split.test_from_ms, split.test_until_ms) == (6 * DAY_MS, 7 * DAY_MS)
    assert split.valid_from_ms == 5 * DAY_MS


def test_the_first_minutes_of_a_last_day_are_no_validation_part() -> None:
    time_ms = np.sort(np.random.default_rng(0).integers(0, 10 * DAY_MS, 5_000))
    split = split_at(np.append(time_ms, [10 * DAY_MS + 5, 10 * DAY_MS + 9]), 0.45, 0.12, 0.0)
    assert split.valid_from_ms == 9 * DAY_MS


def test_the_day_is_that_of_the_logs_own_calendar() -> None:
    # 17:00 UTC on day 0 is 01:00 on day 1 in China
    assert day_of(np.array([17 * 3_600_000]), 8.0).tolist() == [1]
    assert day_start_ms(1, 8.0) == 16 * 3_600_000


def test_a_short_log_is_cut_by_share() -> None:
    time_ms = np.arange(1_000) * 1_000
    split = split_at(time_ms, 0.5, 0.1, 0.0)
    assert (split.heads_from_ms, split.valid_from_ms) == (500_000, 900_000)


def test_too_few_impressions_or_a_day_without_any_is_said() -> None:
    with pytest.raises(InputError, match="Only 50 impressions"):
        split_at(np.arange(50), 0.5, 0.1, 0.0)
    with pytest.raises(InputError, match="No impression lies on the test day"):
        split_at(np.arange(1_000) * 1_000, 0.5, 0.1, 0.0, test_day=9)
