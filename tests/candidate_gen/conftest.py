"""One tiny world and one training of it for all tests of the package."""

import numpy as np
import pytest

from candidate_gen.tower_config import TowerConfig
from candidate_gen.towers import VideoTower, ViewerTower
from tests.candidate_gen.worlds import PROFILE_WORDS, START_MS, make_world

TINY = TowerConfig(
    dim=16,
    inputs=16,
    hidden=16,
    profile_width=4,
    epochs=6,
    batch=128,
    negatives=64,
    learning_rate=0.02,
    holdout_ms=0,
    history=20,
)


@pytest.fixture(scope="package")
def world():
    return make_world(content_dim=6)


@pytest.fixture(scope="package")
def trained(world):
    from candidate_gen.train_towers import train_towers

    return train_towers(world.watches, world.table, TINY, START_MS, world.now_ms, PROFILE_WORDS)


@pytest.fixture(scope="package")
def video_tower(trained):
    return VideoTower(trained.arrays)


@pytest.fixture(scope="package")
def video_vectors(world, video_tower):
    rows = np.arange(len(world.table), dtype=np.int32)
    return video_tower.embed(world.table, rows, world.now_ms)


@pytest.fixture(scope="package")
def viewer_tower(world, trained, video_tower):
    rows = np.arange(len(world.table), dtype=np.int32)
    return ViewerTower(trained.arrays, video_tower.inputs(world.table, rows))
