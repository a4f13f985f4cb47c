"""The project's towers over (user, item) pairs, and their blend with closed forms, on the public Gowalla split.

Tuned and stopped on a tenth of train, fitted again on all of train; the test pairs are read once, at the end."""

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

# Before the libraries start: one thread, so that seconds of CPU mean the same everywhere and sums have one order.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import torch

from training.pairs.blend import Pool, blended, tuned_weights
from training.pairs.evaluation import Quality, Scores, evaluate
from training.pairs.pairs import Matrix, held_out, read_split, users_of
from training.pairs.spectral import graph_filter, linear_filter
from training.pairs.towers import Epoch, PairTowerConfig, Vectors, fit_towers

PUBLISHED = {
    "MF-BPR": (0.1627, 0.1378),
    "YouTubeDNN": (0.1754, 0.1473),
    "LightGCN": (0.1830, 0.1554),
    "GF-CF": (0.1849, 0.1518),
    "UltraGCN": (0.1862, 0.1580),
    "SimpleX": (0.1872, 0.1557),
    "BSPM-EM": (0.1920, 0.1597),
}
CHECKED = (0.18495, 0.15184)  # GF-CF on these two files, measured independently
DUE, GOAL = (0.1830, 0.1554), (0.1920, 0.1597)
SHARE = 0.1


@dataclass
class Clock:
    """Seconds of CPU and of the wall for each named part, printed as it ends."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times what runs inside."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu_s[name], self.wall_s[name] = time.process_time() - cpu, time.perf_counter() - wall
        print(f"{name}: {self.cpu_s[name]:.0f} s CPU, {self.wall_s[name]:.0f} s wall", flush=True)


@dataclass(frozen=True)
class Tuned:
    """What the held-out tenth chose."""

    epochs: int
    weights: dict[str, float]


def main() -> None:
    """Tune, fit, check, test, print."""
    options = arguments()
    torch.set_num_threads(1)
    train, test = read_split(options.data)
    clock, config = Clock(), PairTowerConfig(seed=options.seed)
    tuned = tune(train, config, options, clock)
    with clock.part("towers, all of train"):
        towers = fit_towers(train, config, epochs=tuned.epochs).vectors
    with clock.part("test"):
        found = measure(train, test, sources_of(train, towers), tuned)
    report(found, tuned, clock, options)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and test.parquet")
    parser.add_argument("--seed", type=int, default=0, help="of the held-out tenth and of the training")
    parser.add_argument("--users", type=int, default=6000, help="users of the held-out tenth that judge an epoch")
    return parser.parse_args()


def tune(train: Matrix, config: PairTowerConfig, options: argparse.Namespace, clock: Clock) -> Tuned:
    """The number of epochs and the weights of the blend, from nine tenths of train judged on the other."""
    fit, held = held_out(train, SHARE, options.seed)
    users = np.random.default_rng(options.seed).permutation(users_of(held))
    judges = np.sort(users[: options.users])
    with clock.part("towers, nine tenths"):
        fitted = fit_towers(fit, config, lambda scores: evaluate(scores, fit, held, users=judges), report=show)
    with clock.part("weights"):
        pool = Pool.of(sources_of(fit, fitted.vectors), fit, held, judges)
        weights = tuned_weights(pool, "towers")
    print("held out, of the pool: ", {name: np.round(pool.quality({name: 1.0}), 4).tolist() for name in weights})
    print("held out, blended: ", np.round(pool.quality(weights), 4).tolist(), weights, flush=True)
    return Tuned(fitted.best_epoch, weights)


def show(epoch: Epoch) -> None:
    """One line for each epoch."""
    quality = epoch.quality
    judged = f"  held out: recall {quality.recall:.4f} ndcg {quality.ndcg:.4f}" if quality else ""
    print(f"epoch {epoch.epoch:2d}  loss {epoch.loss:.4f}{judged}", flush=True)


def sources_of(taken: Matrix, towers: Vectors) -> dict[str, Scores]:
    """Everything that is blended, fitted on the same pairs."""
    return {"towers": towers.scores(), "linear filter": linear_filter(taken, user_power=0.5)}


def measure(train: Matrix, test: Matrix, sources: Mapping[str, Scores], tuned: Tuned) -> dict[str, Quality]:
    """The test pairs' ranking by the towers alone, by the blend, and by GF-CF as the check of the protocol."""
    ways = {"towers": sources["towers"], "blend": blended(sources, tuned.weights), "GF-CF, here": graph_filter(train)}
    found = {name: evaluate(scores, train, test) for name, scores in ways.items()}
    return found


def report(found: Mapping[str, Quality], tuned: Tuned, clock: Clock, options: argparse.Namespace) -> None:
    """The table and the one JSON line; `ratio` is the towers' recall over what is due."""
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "numba", "numpy", "scipy"))
    print(f"\nPython {platform.python_version()} {packages} {platform.machine()}, seed {options.seed}")
    print(f"{'':24}{'Recall@20':>12}{'NDCG@20':>12}")
    measured = {name: (quality.recall, quality.ndcg) for name, quality in found.items()}
    for name, (recall, ndcg) in {**PUBLISHED, **measured}.items():
        print(f"{name:24}{recall:12.4f}{ndcg:12.4f}")
    figures = {name: [round(value, 5) for value in pair] for name, pair in measured.items()}
    passed = {
        "due": all(np.greater_equal(measured["towers"], DUE).tolist()),
        "goal": all(np.greater(measured["blend"], GOAL).tolist()),
    }
    costs = {"cpu_s": round(sum(clock.cpu_s.values())), "wall_s": round(sum(clock.wall_s.values()))}
    ratio = {"ratio": round(measured["towers"][0] / DUE[0], 4)}
    chosen = {"epochs": tuned.epochs, "weights": tuned.weights}
    print(json.dumps({"benchmark": "gowalla"} | ratio | figures | passed | chosen | costs))
    # An iterated decomposition leaves the last of 256 singular vectors a little open.
    assert np.allclose(measured["GF-CF, here"], CHECKED, atol=1e-3), "GF-CF differs from what it is known to give here"


if __name__ == "__main__":
    main()
