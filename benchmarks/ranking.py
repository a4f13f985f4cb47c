"""The product's ranking heads beside the pinned reference on KuaiRand, by the protocol of docs/evaluation.md.

    python -m benchmarks.ranking --data FOLDER [--home FOLDER] [--heads long_view,click]

For each test day 27-30 April: train on 25 April to two days before, stop and calibrate on the day before, test; pooled.
GAUC is of viewers' lists of one day, from a state frozen at the start of the day, on which its heads are trained too.
"""

import argparse
import asyncio
import json
import platform
import resource
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pandas as pd

from benchmarks import reference
from features.dataset import Rows
from features.layout import DURATION_EDGES_MS
from foryou.bootstrap import open_stores
from foryou.catch_up import catch_up
from foryou.importers import ImportStores, import_kuairand
from training.config import TrainConfig
from training.cross import CrossFeatures
from training.log_data import LogData, load_log
from training.metrics import (
    auc,
    calibration_error,
    calibration_floor,
    debiased_gauc,
    debiased_list_gauc,
    grouped_auc,
    logloss,
    mae,
    paired,
    rmse,
    viewer_bootstrap,
    xauc,
)
from training.progress import silent
from training.protocol import frozen, frozen_until, lists
from training.ranking_fit import fit_heads, ranker_matrix
from training.retrieval import fit_retrieval
from training.split import day_start_ms
from training.standing import STANDING, Standing

HEADS: Final = ("long_view", "click", "like", "watch_time", "watch_mean", "watch_rank", "watch_standing")
# The standing is judged by the seconds, and beside the reference's order of seconds.
JUDGED_AS: Final = {"watch_standing": "watch_rank"}
CHINA_H: Final = 8.0
ROUNDS: Final = 200


@dataclass(frozen=True)
class Bar:
    """A metric of a head, of its label, prediction and the table's columns `beside`; the bars are differences to the
    reference, or absolute; `sign` -1 where less is better."""

    name: str
    head: str
    metric: Callable[..., float]
    sign: float
    absolute: bool
    bars: tuple[float, float, float]
    beside: tuple[str, ...] = ()

    @property
    def frozen(self) -> bool:
        """Whether it compares rows of one list, and so needs a frozen state."""
        return "group" in self.beside

    @property
    def prediction(self) -> str:
        """The name of the predictions that it judges."""
        return f"frozen/{self.head}" if self.frozen else self.head


DEBIASED: Final = (0.0, 0.005, 0.012)
BARS: Final = (
    Bar("long view AUC", "long_view", auc, 1, False, (0.040, 0.045, 0.050)),
    Bar("long view GAUC, frozen", "long_view", grouped_auc, 1, True, (0.656, 0.660, 0.667), ("group",)),
    Bar("long view logloss", "long_view", logloss, -1, False, (-0.026, -0.0295, -0.033)),
    Bar("long view ECE", "long_view", calibration_error, -1, True, (0.010, 0.0075, 0.0060)),
    Bar("click AUC", "click", auc, 1, False, (0.041, 0.046, 0.051)),
    Bar("like AUC", "like", auc, 1, True, (0.870, 0.879, 0.886)),
    Bar("watch time MAE s", "watch_time", mae, -1, False, (-0.58, -0.70, -0.90)),
    Bar("watch time RMSE s", "watch_mean", rmse, -1, False, (-0.85, -1.00, -1.20)),
    Bar("XAUC", "watch_rank", xauc, 1, False, (0.025, 0.0275, 0.032)),
    Bar("debiased GAUC in buckets", "watch_standing", debiased_gauc, 1, False, DEBIASED, ("group", "bucket")),
    Bar("debiased GAUC in lists", "watch_standing", debiased_list_gauc, 1, False, DEBIASED, ("group", "bucket")),
)


@dataclass(frozen=True)
class Table:
    """The file's rows [n] beside the product's: `row` is each one's impression in the log, `group` its list."""

    rows: pd.DataFrame
    row: np.ndarray
    day: np.ndarray
    group: np.ndarray
    bucket: np.ndarray
    labels: dict[str, np.ndarray]


def main() -> None:
    """Import where needed, fit, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="keeps the import (a temporary folder by default)")
    parser.add_argument("--heads", default=",".join(HEADS))
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    with TemporaryDirectory() as scratch:
        home = given.home or Path(scratch)
        data = asyncio.run(load(given.data, home))
        began = time.process_time()
        table, ours = product(data, given.data, tuple(given.heads.split(",")), TrainConfig(threads=given.threads))
        seconds = time.process_time() - began
    report(table, ours, reference.predictions(given.data), seconds)


async def load(folder: Path, home: Path) -> LogData:
    """The slice as a log, imported on the first run."""
    stores = open_stores(home, durable=False)
    try:
        await import_kuairand(folder, ImportStores(stores.log, stores.tables, home, lambda: int(time.time() * 1000)))
        await catch_up(stores)
        return await load_log(stores.log, stores.videos, stores.tables)
    finally:
        stores.close()


def product(
    data: LogData, folder: Path, heads: tuple[str, ...], config: TrainConfig
) -> tuple[Table, dict[str, np.ndarray]]:
    """Predictions of the test rows by head, `frozen/<head>` with the viewer's state frozen at the day's start."""
    rows = data.driver.run()
    table = joined(data, rows, reference.impressions(folder))
    known = frozen_until(rows.time_ms, row_days(rows, table), CHINA_H)
    data.driver.forget()
    still = frozen(rows, data.driver.run(known_until_ms=known))
    first_ms = day_start_ms(int(table.day.min()), CHINA_H)
    fit = fit_retrieval(data.interactions(), data.state.table, first_ms, config, silent, "models of the histories")
    cross = CrossFeatures(fit, data.state.table, first_ms)
    asked = {bar.prediction for bar in BARS}
    live = [head for head in heads if head in asked]
    later = [head for head in heads if f"frozen/{head}" in asked]
    ours = predictions(rows, data, cross, table, live, config) if live else {}
    if later:
        judged = predictions(still, data, cross, table, later, config)
        ours |= {f"frozen/{name}": values for name, values in judged.items()}
    return table, ours


def joined(data: LogData, rows: Rows, file: pd.DataFrame) -> Table:
    """Each row of the file with its impression; rows that differ in the hour or a stay time alone share one."""
    users, videos = np.array(list(data.driver.viewers)), np.array(data.state.table.video_ids)
    log = pd.DataFrame({
        "user_id": users[rows.viewer].astype(np.int64), "video_id": videos[rows.video].astype(np.int64),
        "time_ms": rows.time_ms, "row": np.arange(len(rows)),
    })  # fmt: skip
    row = file.merge(log, on=["user_id", "video_id", "time_ms"], how="left").row.to_numpy(np.int64)
    day = reference.day_numbers(file.date)
    bucket = np.searchsorted(DURATION_EDGES_MS, file.duration_ms.to_numpy(np.int64), side="right")
    return Table(file, row, day, lists(file.user_id.to_numpy(), day), bucket, reference.labels_of(file))


def row_days(rows: Rows, table: Table) -> np.ndarray:
    """The date of each of the log's impressions, the first where rows that share it differ."""
    day = np.zeros(len(rows), np.int64)
    day[table.row[::-1]] = table.day[::-1]
    return day


def predictions(
    rows: Rows, data: LogData, cross: CrossFeatures, table: Table, heads: Collection[str], config: TrainConfig
) -> dict[str, np.ndarray]:
    """Calibrated predictions of every fold's test rows, NaN elsewhere."""
    whole = ranker_matrix(rows, np.arange(len(rows)), cross, data.driver.records)
    labels = {name: label[table.row] for name, label in rows.labels.items()}
    watch_s, length_ms = labels["watch_time"], rows.length_ms[table.row]
    out = {head: np.full(len(table.row), np.nan) for head in heads}
    for fold in reference.folds_of(table.rows):
        matrix, known = partial(_taken, whole, table.row), fold.train[~np.isnan(watch_s[fold.train])]
        labels[STANDING] = Standing.fit(length_ms[known], watch_s[known]).of(length_ms, watch_s)
        fitted = fit_heads(matrix, labels, fold.train, fold.valid, config, names=heads)
        for head, values in fitted.ranker.predict(matrix(fold.test)).items():
            out[head][fold.test] = values
    return out


def _taken(whole: np.ndarray, row: np.ndarray, index: np.ndarray) -> np.ndarray:
    return whole[row[index]]


def report(table: Table, ours: dict[str, np.ndarray], other: dict[str, np.ndarray], seconds: float) -> None:
    """Print the comparison, the calibration floor, segments, and one JSON line."""
    test = np.flatnonzero(np.isfinite(other["long_view"]))
    viewer, found = table.rows.user_id.to_numpy()[test], {}
    print(f"{len(test):,} test rows, {len(np.unique(viewer)):,} viewers; Python {platform.python_version()},"
          f" LightGBM {version('lightgbm')}")  # fmt: skip
    print(f"{'metric':26}{'reference':>10}{'ours':>10}{'difference':>12}{'95% interval':>22}  bars  reached")
    for bar in BARS:
        if bar.prediction not in ours:
            continue
        judged_as = JUDGED_AS.get(bar.head, bar.head)
        parts = [table.labels[judged_as][test], ours[bar.prediction][test], other[judged_as][test]]
        parts += [getattr(table, name)[test] for name in bar.beside]
        gain = paired(bar.metric, 1.0, *parts)
        low, high = viewer_bootstrap(viewer, gain, ROUNDS, np.random.default_rng(0))
        value, base = (bar.metric(parts[0], each, *parts[3:]) for each in parts[1:3])
        judged = value if bar.absolute else value - base
        level = [name for name, at in zip(("must", "strong", "goal"), bar.bars, strict=True)
                 if bar.sign * judged >= bar.sign * at]  # fmt: skip
        print(f"{bar.name:26}{base:10.4f}{value:10.4f}{value - base:+12.4f}{f'[{low:+.4f}, {high:+.4f}]':>22}"
              f"  {bar.bars}  {level[-1] if level else '-'}")  # fmt: skip
        found[bar.name] = {"reference": base, "ours": value, "low": low, "high": high, "level": (level or ["-"])[-1]}
    _floor(ours, test)
    _segments(table, ours, other, test)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"benchmark": "ranking", "cpu_s": round(seconds), "peak_mb": round(peak_mb), "metrics": found}))


def _floor(ours: dict[str, np.ndarray], test: np.ndarray) -> None:
    median, high = calibration_floor(ours["long_view"][test], np.random.default_rng(0))
    print(f"ECE of the same predictions if each were exactly right: median {median:.4f}, 95% {high:.4f}")


def _segments(table: Table, ours: dict[str, np.ndarray], other: dict[str, np.ndarray], test: np.ndarray) -> None:
    """Long view AUC by segment."""
    label, length_s = table.labels["long_view"], table.rows.duration_ms.to_numpy() / 1000
    shown = table.rows.groupby("user_id").user_id.transform("size").to_numpy()
    edges = np.quantile(shown[test], [1 / 3, 2 / 3])
    parts = {
        "videos under 20 s": length_s < 20, "20 to 90 s": (length_s >= 20) & (length_s < 90),
        "videos from 90 s": length_s >= 90, "least active viewers": shown <= edges[0],
        "most active viewers": shown > edges[1],
    }  # fmt: skip
    for name, keep in parts.items():
        rows = test[keep[test]]
        figures = [auc(label[rows], predicted["long_view"][rows]) for predicted in (other, ours)]
        print(f"  {name:24}{len(rows):8,} rows  AUC {figures[0]:.4f} -> {figures[1]:.4f}")


if __name__ == "__main__":
    main()
