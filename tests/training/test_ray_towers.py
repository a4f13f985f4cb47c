"""Towers on Ray Train: two workers of a real Ray on this machine."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from candidate_gen.checkpoints import Checkpoints
from candidate_gen.tower_config import TowerConfig
from core.errors import ConfigError
from tests.candidate_gen.worlds import make_world
from training.config import TrainConfig
from training.tower_fits import TowerFits, TowerTask

TOWERS = TowerConfig(
    dim=8, inputs=8, hidden=8, profile_width=4, epochs=2, batch=128, negatives=64, learning_rate=0.02, holdout_ms=0,
    history=20, id_dropout=0.0,
)  # fmt: skip


def task_of(world, workers, until_ms=None):
    config = TrainConfig(threads=1, workers=workers)
    return TowerTask(world.table, TOWERS, config, until_ms or world.now_ms)


@pytest.fixture(scope="module")
def ray_here():
    import ray

    ray.init(num_cpus=2, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_two_workers_train_what_one_process_trains(tmp_path, ray_here):
    world = make_world(viewers=100)
    alone = TowerFits().fit(task_of(world, 1), world.watches)
    together = TowerFits(Checkpoints(tmp_path / "checkpoints"), tmp_path).fit(task_of(world, 2), world.watches)
    # The same examples, order and negatives; only the sums over a step are in another order.
    assert [record.loss for record in together.curve] == pytest.approx([r.loss for r in alone.curve], rel=1e-4)
    for name, array in alone.arrays.parameters.items():
        np.testing.assert_allclose(together.arrays.parameters[name], array, atol=2e-2, err_msg=name)
    assert len(list((tmp_path / "checkpoints").glob("*.pt"))) == 1 and not (tmp_path / "ray").exists()


def test_more_workers_than_there_are_processors_are_refused_in_a_sentence(tmp_path, ray_here):
    world = make_world(viewers=100)
    with pytest.raises(ConfigError, match="64 workers need as many CPUs, and Ray has 2 here"):
        TowerFits(scratch=tmp_path).fit(task_of(world, 64), world.watches)


def test_without_ray_a_sentence_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from training.ray_towers import _running\nfrom core.errors import ConfigError\n"
        "try:\n    _running(2).__enter__()\nexcept ConfigError as error:\n    print(error.sentence)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.stdout.strip() == (
        "Ray is not installed, and --workers above 1 needs it: pip install 'foryou[cluster]', or leave it out."
    ), said.stderr
