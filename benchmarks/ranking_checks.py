"""Two checks of the ranking features on KuaiRand: permuted outcomes cannot be ranked; a list-wise objective beside the
binary one.

    python -m benchmarks.ranking_checks --data FOLDER [--home FOLDER] [--permutations 3]

Both on 30 April from the declared features, trained on 25-28 April; days by UTC+8 of `time_ms` for state and split.
"""

import argparse
import asyncio
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.ranking import CHINA_H, load
from training.leak import OBJECTIVES, LeakReport, leak_check, ranked
from training.log_data import LogData
from training.metrics import grouped_auc
from training.protocol import Fold, frozen, frozen_until, lists, rolling_origin
from training.split import day_of


def main() -> None:
    """Load, check, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="keeps the import (a temporary folder by default)")
    parser.add_argument("--permutations", type=int, default=3)
    given = parser.parse_args()
    with TemporaryDirectory() as scratch:
        data = asyncio.run(load(given.data, given.home or Path(scratch)))
    impressions = np.sort(data.events.time_ms[data.events.surface > 0])
    (fold,) = rolling_origin(day_of(impressions, CHINA_H), [int(np.datetime64("2022-04-30", "D").astype(int))])
    found = {"true outcomes, frozen": true_outcomes(data, fold)}
    for name, live in (("permuted, frozen", False), ("permuted, running counters", True)):
        reports = leak_check(
            data.driver, fold, lambda rows: np.asarray(rows.features), CHINA_H, given.permutations, seed=0, live=live
        )
        found[name] = {report.objective: shown(name, report) for report in reports}
    print(json.dumps({"benchmark": "ranking_checks", "gauc": found}))


def true_outcomes(data: LogData, fold: Fold) -> dict[str, float]:
    """GAUC of both objectives on what happened, from frozen rows."""
    data.driver.forget()
    rows = data.driver.run()
    until = frozen_until(rows.time_ms, day_of(rows.time_ms, CHINA_H), CHINA_H)
    data.driver.forget()
    still = frozen(rows, data.driver.run(known_until_ms=until))
    group, label = lists(rows.viewer, day_of(rows.time_ms, CHINA_H)), np.nan_to_num(rows.labels["long_view"])
    found = {}
    for objective in OBJECTIVES:
        score = ranked(objective, np.asarray(still.features), label, group, fold)
        found[objective] = grouped_auc(label[fold.test], score, group[fold.test])
        print(f"true outcomes, frozen state: {objective:12} GAUC {found[objective]:.4f}")
    return found


def shown(name: str, report: LeakReport) -> float:
    """Print one report; its mean."""
    each = ", ".join(f"{value:.4f}" for value in report.gauc)
    print(f"{name}: {report.objective:12} GAUC {each} (standard error of one {report.standard_error:.4f}):"
          f" {'clean' if report.clean else 'a leak'}")  # fmt: skip
    return report.mean


if __name__ == "__main__":
    main()
