"""One small world for the ranking tests: values with holes, labels, and heads trained on them."""

from dataclasses import dataclass

import numpy as np
import pytest

from ranking.bins import SharedBins
from ranking.head_config import HeadConfig
from ranking.heads import TrainedHeads, train_heads

NAMES = ("taste", "length", "age", "count", "noise", "flat")
CONFIGS = (
    HeadConfig(name="like", rounds=40, min_positives=20),
    HeadConfig(name="watch_ratio", objective="mean", leaves=15, rounds=41, learning_rate=0.2),
    HeadConfig(name="watch_time", objective="median", label="seconds", rounds=23),
    HeadConfig(name="share", rounds=40, min_positives=10_000),
)


@dataclass(frozen=True)
class World:
    """Values [rows, features] float32 and labels [rows] by column, in order of time."""

    values: np.ndarray
    labels: dict[str, np.ndarray]


def make_world(rows: int, seed: int) -> World:
    """Likes rise with `taste` and fall with `age`; NaN taste is as bad as the worst."""
    rng = np.random.default_rng(seed)
    values = np.empty((rows, len(NAMES)), np.float32)
    values[:, 0] = rng.normal(size=rows)
    values[:, 1] = rng.lognormal(3, 1, rows)
    values[:, 2] = rng.exponential(5, rows)
    values[:, 3] = rng.integers(0, 7, rows)
    values[:, 4] = rng.normal(size=rows)
    values[:, 5] = 2.5
    logit = 2 * values[:, 0] - 0.2 * values[:, 2] - 1
    values[rng.random(rows) < 0.1, 4] = np.nan
    blind = rng.random(rows) < 0.1
    values[blind, 0], logit[blind] = np.nan, -4.0
    values[rng.random(rows) < 0.01, 1] = np.inf
    values[rng.random(rows) < 0.01, 2] = -np.inf
    like = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    ratio = np.abs(np.tanh(logit) + 1 + 0.3 * rng.normal(size=rows))
    ratio[rng.random(rows) < 0.2] = np.nan
    labels = {"like": like, "watch_ratio": ratio, "seconds": 10 * np.abs(logit), "share": like}
    return World(values, labels)


@pytest.fixture(scope="session")
def train() -> World:
    return make_world(6000, seed=1)


@pytest.fixture(scope="session")
def valid() -> World:
    return make_world(3000, seed=2)


@pytest.fixture(scope="session")
def bins(train: World) -> SharedBins:
    return SharedBins.fit(train.values)


@pytest.fixture(scope="session")
def trained(train: World, valid: World, bins: SharedBins) -> TrainedHeads:
    codes, codes_valid = bins.codes(train.values), bins.codes(valid.values)
    return train_heads(codes, train.labels, codes_valid, valid.labels, NAMES, CONFIGS, threads=1)
