"""Towers on Ray Train: every worker takes a part of each step's examples, and all end with the same model."""

import logging
import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from candidate_gen.checkpoints import Checkpoints
from candidate_gen.interactions import Interactions
from candidate_gen.towers import TowerArrays
from candidate_gen.train_towers import EpochRecord, TrainedTowers
from core.errors import ConfigError, ForyouError, Unavailable
from core.room import Room
from training.tower_fits import TowerTask

_COLUMNS = ("indptr", "video", "time_ms", "signal", "profile")
_RESULT, _TASK, _SAID = "towers.pkl", "task.pkl", "said.txt"


def fit_on_ray(task: TowerTask, watches: Interactions, checkpoints: Checkpoints, scratch: Path) -> TrainedTowers:
    """The fit on `task.config.workers` workers; ConfigError where Ray is absent or has too few CPUs."""
    folder = scratch.absolute() / "ray"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in _COLUMNS:
        np.save(folder / f"{name}.npy", getattr(watches, name))
    (folder / _TASK).write_bytes(pickle.dumps((task, watches.profile_sizes, checkpoints)))
    try:
        with _running(task.config.workers) as gpus:
            _run(folder, task.config.workers, gpus)
        arrays, curve = pickle.loads((folder / _RESULT).read_bytes())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return TrainedTowers(TowerArrays.from_bytes(arrays), tuple(EpochRecord(*record) for record in curve))


@contextmanager
def _running(workers: int) -> Iterator[int]:
    """Ray, the cluster's or one of this machine for as long as it is needed; how many GPUs it has."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "Ray is not installed, and --workers above 1 needs it: pip install 'foryou[cluster]', or leave it out."
        ) from error
    ours = not ray.is_initialized()
    if ours:
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        except Exception as error:
            # Ray has no class of its own for a node that does not come up, as on a machine that is overloaded.
            raise Unavailable(f"Ray did not start ({error}); try again, or leave out --workers.") from error
    try:
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if found.get("CPU", 0) < workers:
            cpus = int(found.get("CPU", 0))
            raise ConfigError(f"{workers} workers need as many CPUs, and Ray has {cpus} here; give fewer --workers.")
        yield int(found.get("GPU", 0))
    finally:
        if ours:
            ray.shutdown()


def _run(folder: Path, workers: int, gpus: int) -> None:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    on_gpu = gpus >= workers
    for name in ("ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    trainer = TorchTrainer(
        _work,
        train_loop_config={"folder": str(folder)},
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=on_gpu),
        run_config=RunConfig(name="towers", storage_path=str(folder)),
    )
    try:
        trainer.fit()
    except Exception as error:
        # Ray wraps a worker's error in several of its own; what the worker said is what a person needs.
        said = folder / _SAID
        text = said.read_text() if said.is_file() else f"The workers on Ray failed ({type(error).__name__})."
        raise Unavailable(text) from error


def _work(given: dict[str, Any]) -> None:
    """What every worker runs: the whole fit, of which its share of each step's examples is its own."""
    from candidate_gen.peers import Together
    from training.repeatable import repeatable

    folder = Path(given["folder"])
    task, sizes, checkpoints = pickle.loads((folder / _TASK).read_bytes())
    repeatable(max(1, min(task.config.threads, (os.cpu_count() or 1) // task.config.workers)))
    columns = {name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in _COLUMNS}
    watches = Interactions(**columns, profile_sizes=sizes, room=Room(folder))
    peers = Together()
    try:
        trained = task.fit(watches, checkpoints, peers=peers)
    except ForyouError as error:
        (folder / _SAID).write_text(error.sentence)
        raise
    if peers.rank == 0:
        curve = [(one.epoch, one.loss, one.recall_at_100) for one in trained.curve]
        part = folder / f"{_RESULT}.part"
        part.write_bytes(pickle.dumps((trained.arrays.to_bytes(), curve)))
        part.replace(folder / _RESULT)
