"""Stale, continued and trained anew: three bundles of one synthetic world on the same next day, and what each cost.

    python -m benchmarks.incremental --law drifting

The stale one learned until the day before the last but one, the other two until the last day, on which all are judged.
"""

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.clock import system_clock
from features.dataset import Rows
from features.layout import DAY_MS
from features.words import Words
from foryou.catch_up import catch_up
from foryou.importers.report import ImportStores
from foryou.importers.world import import_world
from foryou.stores import open_stores
from simulation.log_files import write_history
from simulation.world import World
from training.bundle_writer import crown, write_bundle
from training.config import TrainConfig
from training.gates import judged
from training.incremental import continue_fit, split_of_new
from training.incremental_fit import IncrementalConfig
from training.log_data import LogData, load_log
from training.metrics import auc, calibration_error, logloss, mae
from training.parent import parent_of
from training.pipeline import Fitted, fit
from training.split import Split
from training.stored_bundle import stored_bundle

HEADS = ("long_view", "click", "like")


@dataclass(frozen=True)
class Judged:
    """The rows of the last day, in the form in which the gates judge."""

    rows: Rows
    split: Split


def made_home(home: Path, options: argparse.Namespace) -> None:
    """The world's history on a log in the home."""
    world = World.build(options.seed, options.viewers, options.videos, options.law, options.days)
    write_history(world, home / "world", options.impressions)

    async def imported() -> None:
        stores = open_stores(home, durable=False)
        await import_world(home / "world", ImportStores(stores.log, stores.tables, home, system_clock))
        await catch_up(stores)
        stores.close()

    asyncio.run(imported())


def loaded(home: Path, words: Words | None = None) -> LogData:
    """The log, read anew: a replay leaves its counters behind."""

    async def load() -> LogData:
        stores = open_stores(home, durable=False)
        try:
            return await load_log(stores.log, stores.videos, stores.tables, words)
        finally:
            stores.close()

    return asyncio.run(load())


def written(bundles: Path, data: LogData, fitted: Fitted, config: TrainConfig) -> str:
    """The id of the bundle that was fitted."""
    return write_bundle(bundles, data, fitted, config, 0, {}).bundle_id


def show(name: str, bundles: Path, bundle: str, data: LogData, day: Judged, seconds: float) -> None:
    """A line of figures on the last day."""
    rows, split = day.rows, day.split
    late = (rows.time_ms >= split.test_from_ms) & (rows.time_ms < split.test_until_ms)
    index = rows.select(late & ~np.isnan(rows.labels["long_view"]))
    found = judged(stored_bundle(bundles / bundle, len(data.state.table)), data, day, index)  # type: ignore[arg-type]
    parts = [f"{name:10s} {seconds:6.1f} s of processor  recall@100 {found.recall:.4f}"]
    for head in (head for head in HEADS if head in found.predictions):
        label, said = rows.labels[head][index], found.predictions[head]
        parts.append(
            f"{head} {auc(label, said):.4f} / {logloss(label, said):.4f} / {calibration_error(label, said):.4f}"
        )
    parts.append(f"watch MAE {mae(rows.labels['watch_time'][index], found.predictions['watch_time']):.3f}")
    print("  ".join(parts), flush=True)


def compare(home: Path, options: argparse.Namespace) -> None:
    """Fit all three, judge all three."""
    config = TrainConfig(seed=options.seed, threads=options.threads, rounds=options.rounds)
    bundles, data = home / "bundles", loaded(home)
    days, counts = np.unique(data.events.time_ms[data.events.surface > 0] // DAY_MS, return_counts=True)
    last = int(days[counts >= np.median(counts) / 5][-1])  # a log ends in a sliver of a day
    cost, ids = {}, {}
    for name, day in (("stale", last - 1), ("anew", last)):
        began, data = time.process_time(), loaded(home)
        ids[name] = written(bundles, data, fit(data, config, home / "scratch", test_day=day), config)
        cost[name] = time.process_time() - began
    crown(bundles, ids["stale"])
    own, began = IncrementalConfig(min_rows=options.min_rows), time.process_time()
    parent = parent_of(bundles)
    data = loaded(home, parent.words)
    grown = continue_fit(data, parent, config, own, home / "scratch", test_day=last)
    ids["continued"] = written(bundles, data, grown, config)
    cost["continued"] = time.process_time() - began
    data = loaded(home, parent.words)
    split = split_of_new(data, parent.manifest, own, 0.0, last)
    judge = Judged(data.driver.run(split.heads_from_ms), split)
    print("AUC / log loss / calibration error of each head on the last day")
    for name, bundle in ids.items():
        show(name, bundles, bundle, data, judge, cost[name])
    print(f"an increment takes 1 / {cost['anew'] / cost['continued']:.1f} of the processor time of a full training")


def main() -> None:
    """Read the options and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = {"viewers": 1_500, "videos": 6_000, "impressions": 100_000, "days": 14, "seed": 1, "rounds": 120}
    for name, default in (sizes | {"threads": 1, "min_rows": 1_500}).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--law", default="plain")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made_home(Path(folder), options)
        compare(Path(folder), options)


if __name__ == "__main__":
    main()
