"""Decay of fixed-point values against exact arithmetic."""

from decimal import Decimal, getcontext
from itertools import pairwise

import numpy as np
import pytest

from features.decay import decay_factor, decayed
from features.layout import SATURATION, STEPS, TABLE, UNIT

getcontext().prec = 60


def exact(value, steps):
    """value x 2^(-steps / STEPS)"""
    return Decimal(int(value)) * Decimal(2) ** (Decimal(-int(steps)) / STEPS)


def test_decay_is_within_one_unit_and_a_part_in_four_million_of_exact():
    # Two roundings to nearest lose at most 1/2 each; the table is rounded to 22 bits, of which at least 21 are used.
    rng = np.random.default_rng(0)
    values = np.concatenate([2 ** rng.uniform(0, 40, 2_000), [1, UNIT, SATURATION]]).astype(np.int64)
    for value in values.tolist():
        steps = int(rng.integers(1, 40 * STEPS))
        error = abs(decayed(value, steps) - exact(value, steps))
        assert error <= 1 + exact(value, steps) / 2**22, (value, steps)


@pytest.mark.parametrize("halves", [1, 2, 7, 20])
def test_whole_half_lives_halve_exactly(halves):
    assert decayed(np.int64(3 << 30), halves * STEPS) == (3 << 30) >> halves


def test_no_time_or_time_backwards_changes_nothing():
    assert [decayed(np.int64(12_345), steps) for steps in (0, -1, -1000)] == [12_345] * 3


def test_after_forty_six_half_lives_nothing_is_left():
    assert decayed(np.int64(SATURATION), 46 * STEPS) == 0 and decay_factor(46 * STEPS) == 0.0


def test_waiting_longer_never_leaves_more():
    left = [decayed(np.int64(10**9), steps) for steps in range(50 * STEPS)]
    assert all(a >= b for a, b in pairwise(left))


def test_a_negative_gain_decays_like_a_positive_one():
    for steps in range(0, 500, 7):
        assert abs(decayed(np.int64(-UNIT), steps) + decayed(np.int64(UNIT), steps)) <= 1


def test_the_factor_is_the_table_and_halves():
    for steps in (1, 63, 64, 65, 640, 2_000):
        assert decay_factor(steps) == TABLE[steps % STEPS] / 2**22 / 2 ** (steps // STEPS)
        assert decay_factor(steps) == pytest.approx(2 ** (-steps / STEPS), rel=2**-22)
