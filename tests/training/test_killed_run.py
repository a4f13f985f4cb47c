"""A training run that is killed goes on where it was, and ends as if nothing had happened."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from candidate_gen.checkpoints import Checkpoint, Checkpoints
from candidate_gen.tower_config import TowerConfig
from candidate_gen.trainer import Trainer
from foryou.stores import open_stores
from tests.training.fitted_world import NOW_MS, logged_world
from training.bundle_writer import write_bundle
from training.config import TrainConfig
from training.log_data import load_log
from training.pipeline import fit

# Ten passes of some steps, each kept: the kill comes early among them.
TOWERS = TowerConfig(epochs=10, patience=10, batch=64, epoch_examples=1500)
CONFIG = TrainConfig(threads=1, rounds=3, members=1, refit_towers=False, towers=TOWERS)
TRAIN = "import sys; from pathlib import Path; from tests.training.test_killed_run import bundle_of as b; "


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    logged_world(folder)
    return folder


def log_of(home):
    async def loaded():
        stores = open_stores(home, durable=False)
        try:
            return await load_log(stores.log, stores.videos, stores.tables)
        finally:
            stores.close()

    return asyncio.run(loaded())


def bundle_of(home, name, config=CONFIG):
    """The id of the bundle that is trained on this home, with its scratch and bundles under `name`."""
    data, folder = log_of(home), home / name
    return write_bundle(folder / "bundles", data, fit(data, config, folder), config, NOW_MS, {}).bundle_id


def kept(home, name):
    return list((home / name / "checkpoints").glob("*/*.pt"))


@pytest.fixture(scope="module")
def killed(home):
    """The scratch folder of a process that trained, and was killed after its first passes."""
    name = "killed"
    words = [sys.executable, "-c", TRAIN + f"b(Path(sys.argv[1]), {name!r})", str(home)]
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": os.getcwd()})
    until = time.monotonic() + 120
    while not kept(home, name) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert kept(home, name)
    return home / name


@pytest.fixture
def passes(monkeypatch):
    """The passes that are begun in this process."""
    begun, epoch = [], Trainer.epoch
    monkeypatch.setattr(Trainer, "epoch", lambda self, *words: (begun.append(self), epoch(self, *words))[1])
    return begun


def test_a_killed_run_goes_on_and_gives_the_bundle_of_one_that_was_not(home, killed, passes):
    shutil.copytree(killed, home / "same")
    wanted = bundle_of(home, "whole")
    whole = len(passes)
    passes.clear()
    assert bundle_of(home, "same") == wanted
    assert len(passes) < whole
    assert kept(home, "same") == []  # a run that ends leaves nothing


def test_what_a_run_of_another_configuration_kept_is_not_used_and_removed(home, killed, passes):
    shutil.copytree(killed, home / "other")
    stale = kept(home, "other")
    other = CONFIG.model_copy(update={"towers": TOWERS.model_copy(update={"epochs": 1})})
    bundle_of(home, "other", other)
    assert len(passes) == 1 + CONFIG.affinity.epochs
    assert not any(path.exists() for path in stale)


def test_a_damaged_checkpoint_is_none(tmp_path):
    checkpoint = Checkpoints(tmp_path).of_fit("towers")
    assert checkpoint.kept() is None
    checkpoint.keep({"done": 3})
    assert checkpoint.kept() == {"done": 3}
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-40])
    assert checkpoint.kept() is None and not checkpoint.path.exists()


def test_a_full_disk_leaves_the_checkpoint_that_was_there(tmp_path):
    checkpoint = Checkpoints(tmp_path).of_fit("towers")
    checkpoint.keep({"done": 3})
    checkpoint.path.with_suffix(".part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        checkpoint.keep({"done": 4})
    assert checkpoint.kept() == {"done": 3}


def test_without_a_folder_nothing_is_kept():
    assert not Checkpoint().due(500) and Checkpoints().of_fit("towers").kept() is None
