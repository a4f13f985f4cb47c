"""Quantiles of Beta laws with concentration 3 as a table, so that one uniform draw gives a watch ratio.

One draw for one ratio, monotone in it, is what makes common random numbers work.
"""

import functools
import math

import numpy as np
from numpy.typing import NDArray

from simulation.compiled import compiled

CONCENTRATION = 3.0
LOGIT_LIMIT, LOGIT_STEP = 6.0, 0.06
RATIO_CELLS, CHANCE_CELLS = 1024, 512


@compiled
def _continued_fraction(a: float, b: float, x: float) -> float:
    """Lentz's evaluation of the incomplete beta fraction (Numerical Recipes, 6.4)."""
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    answer = d
    for m in range(1, 200):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            d = 1.0 / (1.0 + numerator * d)
            c = 1.0 + numerator / c
            answer *= d * c
        if abs(d * c - 1.0) < 1e-10:
            break
    return answer


@compiled
def beta_cdf(a: float, b: float, x: float) -> float:
    """P(X <= x) of Beta(a, b)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(1.0 - x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _continued_fraction(a, b, x) / a
    return 1.0 - front * _continued_fraction(b, a, 1.0 - x) / b


@compiled
def _fill_cdf(means: NDArray[np.float64], ratios: NDArray[np.float64], cdf: NDArray[np.float64]) -> None:
    """cdf[i, j] = P(ratio <= ratios[j]) under the i-th mean."""
    for i in range(len(means)):
        for j in range(len(ratios)):
            cdf[i, j] = beta_cdf(CONCENTRATION * means[i], CONCENTRATION * (1.0 - means[i]), ratios[j])


@functools.cache
def quantile_table() -> NDArray[np.float32]:
    """Quantiles [logits of the mean, chances + 1]; rows from -6 to 6 in steps of 0.06."""
    logits = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + LOGIT_STEP / 2, LOGIT_STEP)
    means = 1.0 / (1.0 + np.exp(-logits))
    ratios = 0.5 - 0.5 * np.cos(np.pi * np.arange(RATIO_CELLS + 1) / RATIO_CELLS)
    cdf = np.empty((len(means), len(ratios)))
    _fill_cdf(means, ratios, cdf)
    chances = np.arange(CHANCE_CELLS + 1) / CHANCE_CELLS
    return np.stack([np.interp(chances, row, ratios) for row in cdf]).astype(np.float32)


@compiled
def quantile(table: NDArray[np.float32], logit: float, chance: float) -> float:
    """The watch ratio at `chance` under a mean of sigmoid(logit), by bilinear interpolation."""
    row = (min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT - 1e-6) + LOGIT_LIMIT) / LOGIT_STEP
    column = chance * CHANCE_CELLS
    i, j = min(int(row), table.shape[0] - 2), min(int(column), CHANCE_CELLS - 1)
    f, g = row - i, column - j
    low = table[i, j] * (1.0 - g) + table[i, j + 1] * g
    high = table[i + 1, j] * (1.0 - g) + table[i + 1, j + 1] * g
    return float(low * (1.0 - f) + high * f)
