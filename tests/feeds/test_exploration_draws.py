"""Random places: what is drawn is distributed as what is logged says, and everybody draws the same."""

import numpy as np
import pytest

from feeds.exploration.draw import drawn, propensities
from feeds.exploration.noise import gumbels, normals, uniform, uniforms
from feeds.exploration.plan import PLACKETT_LUCE, SLOTS, Plan
from feeds.exploration.stage import draw_places

REDRAWS, CHUNK = 200_000, 20_000


def chi_square(observed, expected):
    """Deviations above the mean of the statistic, whose categories expected fewer than five times are one."""
    few = expected < 5
    observed = np.append(observed[~few], observed[few].sum())
    expected = np.append(expected[~few], expected[few].sum())
    observed, expected = observed[expected > 0], expected[expected > 0]
    freedom = len(expected) - 1
    return (np.sum((observed - expected) ** 2 / expected) - freedom) / np.sqrt(2 * freedom)


def redrawn(plan, pages=REDRAWS):
    """What the first two places get by as many seeds, and the logged chances of both. [pages, 2] each"""
    orders, chances = [], []
    for start in range(0, pages, CHUNK):
        order = draw_places(plan, np.arange(start, start + CHUNK))[:, :2]
        orders.append(order)
        chances.append(propensities(plan.score, plan.temperature, order))
    return np.concatenate(orders), np.concatenate(chances)


def plan_of(policy, places, pool, temperature):
    score = np.random.default_rng(3).normal(size=pool)
    return Plan(policy, np.array(places, np.int32), np.arange(pool, dtype=np.int32), score, temperature)


@pytest.mark.parametrize(
    "plan", [plan_of(SLOTS, [9, 19], 25, 0.7), plan_of(PLACKETT_LUCE, range(20), 40, 0.9)], ids=lambda plan: plan.policy
)
def test_two_hundred_thousand_redraws_fall_as_the_logged_chances_say(plan):
    order, chance = redrawn(plan)
    pool = len(plan.pool)
    first, pair = order[:, 0], order[:, 0] * pool + order[:, 1]
    # what is logged for a video at its place is one number, whoever is drawn
    logged_first, logged_pair = np.zeros(pool), np.zeros(pool * pool)
    logged_first[first], logged_pair[pair] = chance[:, 0], chance[:, 0] * chance[:, 1]
    assert logged_first.sum() == pytest.approx(1, abs=1e-3)
    assert abs(chi_square(np.bincount(first, minlength=pool), REDRAWS * logged_first)) < 4
    seen = logged_pair > 0
    counts = np.bincount(pair, minlength=pool * pool)
    expected = np.append(REDRAWS * logged_pair[seen], REDRAWS * max(1 - logged_pair.sum(), 0))
    assert abs(chi_square(np.append(counts[seen], 0), expected)) < 4
    # the second place alone, whatever stands above it: sum over a of P(a) P(b | a)
    weight = np.exp(plan.score / plan.temperature)
    share = weight / weight.sum()
    second = share * ((share / (1 - share)).sum() - share / (1 - share))
    assert abs(chi_square(np.bincount(order[:, 1], minlength=pool), REDRAWS * second)) < 4


def test_the_test_would_notice_another_temperature():
    plan = plan_of(SLOTS, [9, 19], 25, 0.7)
    order, _ = redrawn(plan, 40_000)
    wrong = np.exp(plan.score / 0.72)
    assert chi_square(np.bincount(order[:, 0], minlength=25), 40_000 * wrong / wrong.sum()) > 4


def test_a_chance_is_the_softmax_among_those_left():
    # weights 1, 2, 4 at T = 1: after the 4 the 1 is one of three, and then the 2 is certain
    score = np.log([1.0, 2.0, 4.0])
    assert propensities(score, 1.0, np.array([2, 0, 1])).tolist() == pytest.approx([4 / 7, 1 / 3, 1.0])
    assert propensities(score, 0.5, np.array([1])).tolist() == pytest.approx([4 / 21])


def test_a_chance_far_down_the_tail_is_no_difference_of_large_sums():
    score = np.array([0.0, -50.0, -50.7])
    # when the first is gone, the others are alone: e^0.7 to 1
    chance = propensities(score, 1.0, np.array([0, 1]))
    assert chance[1] == pytest.approx(1 / (1 + np.exp(-0.7)), rel=1e-9)
    assert (propensities(score, 1e-3, np.array([0, 1, 2])) > 0).all()


def test_nobody_is_drawn_twice_and_a_pool_may_be_smaller_than_its_places():
    order = drawn(np.zeros(6), 1.0, 20, gumbels(np.arange(50)[:, None], np.arange(6)[None]))
    assert order.shape == (50, 6)
    assert all(sorted(row) == list(range(6)) for row in order.tolist())


def test_numbers_depend_on_seed_and_key_alone_and_look_random():
    grid = uniforms(np.arange(300)[:, None], np.arange(300)[None])
    assert np.array_equal(uniforms(7, np.arange(300)), grid[7])
    assert [uniform(7, key) for key in range(300)] == grid[7].tolist()
    assert abs(grid.mean() - 0.5) < 0.004 and abs(grid.var() - 1 / 12) < 0.002
    assert abs(np.corrcoef(grid[:-1].ravel(), grid[1:].ravel())[0, 1]) < 0.015
    assert abs(np.corrcoef(grid[:, :-1].ravel(), grid[:, 1:].ravel())[0, 1]) < 0.015
    draws = normals(5, np.arange(90_000))
    assert abs(draws.mean()) < 0.014 and abs(draws.std() - 1) < 0.01
    assert uniforms(2**64 - 1, 0)[0] == uniforms(-1 & (2**64 - 1), 0)[0]
