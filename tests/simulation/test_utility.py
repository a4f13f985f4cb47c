"""Expected rewards agree with what happens by chance."""

import numpy as np
import pytest

from simulation.beta_table import beta_cdf, quantile, quantile_table
from simulation.law import FOLLOW, HIDE_AUTHOR, LIKE, NOT_INTERESTED, REPORT, SHARE, KernelLaw
from simulation.pair_set import add, contains, empty_set, pair
from simulation.utility import DRAWS, NOISE_DRAW, expected_reward, noise_nodes, respond


@pytest.mark.parametrize(
    ("appeal", "bait", "length_ms"), [(-1.0, False, 30_000), (1.5, True, 9_000), (3.0, False, 70_000)]
)
def test_the_expected_reward_is_the_mean_of_many_simulated_views(appeal, bait, length_ms):
    law, rng = KernelLaw(), np.random.default_rng(0)
    propensities = rng.standard_normal(8).astype(np.float32)
    total, views = 0.0, 60_000
    for _ in range(views):
        draws = rng.random(DRAWS)
        noisy = appeal + law.noise_sd * rng.standard_normal()
        draws[NOISE_DRAW] = 0.0
        play_ms, actions, _ = respond(
            law, quantile_table(), noisy, 0.9, propensities, 0.3, bait, False, length_ms, draws
        )
        total += min(play_ms / length_ms, 1.0) + 2.0 * (actions >> LIKE & 1)
        total += 4.0 * bool(actions & (1 << FOLLOW | 1 << SHARE))
        total -= 6.0 * bool(actions & (1 << NOT_INTERESTED | 1 << HIDE_AUTHOR | 1 << REPORT))
    expected = expected_reward(
        law, noise_nodes(15), appeal, 0.9, propensities, 0.3, bait, False, length_ms, law.noise_sd
    )
    # the deviation of one view is below 1.5, so four standard errors are about 0.025
    assert abs(total / views - expected) < 0.025


def test_beta_cdf_of_known_laws():
    # Beta(1, 1) is uniform; Beta(2, 1) has the CDF x^2; Beta(1, 2) has 1 - (1 - x)^2
    assert beta_cdf(1.0, 1.0, 0.3) == pytest.approx(0.3)
    assert beta_cdf(2.0, 1.0, 0.3) == pytest.approx(0.09)
    assert beta_cdf(1.0, 2.0, 0.3) == pytest.approx(0.51)


@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.3])
def test_drawn_ratios_have_the_mean_and_spread_of_the_beta_law(logit):
    chances = (np.arange(20_000) + 0.5) / 20_000
    ratios = np.array([quantile(quantile_table(), logit, chance) for chance in chances])
    mean = 1.0 / (1.0 + np.exp(-logit))
    # Var Beta(3m, 3(1 - m)) = m (1 - m) / 4
    assert ratios.mean() == pytest.approx(mean, abs=0.003)
    assert ratios.var() == pytest.approx(mean * (1 - mean) / 4, abs=0.003)


def test_a_pair_set_holds_what_was_added():
    keys = empty_set(100)
    assert add(keys, pair(3, 4))
    assert not add(keys, pair(3, 4))
    assert contains(keys, pair(3, 4)) and not contains(keys, pair(4, 3))
