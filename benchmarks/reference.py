"""The pinned reference of `benchmarks.ranking`: LightGBM on an impression's tab, hour and duration, all columns of its
video and viewer, and the video's long-view rate of earlier days.

    python -m benchmarks.reference --data FOLDER      (the KuaiRand-Pure slice)

31 leaves, learning rate 0.05, early stopping after 50 rounds, seed 0, else LightGBM's defaults.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import lightgbm as lgb
import numpy as np
import pandas as pd

from training.metrics import auc, logloss, mae, rmse, xauc
from training.protocol import Fold, rolling_origin

SETTINGS: Final = {
    "num_leaves": 31, "learning_rate": 0.05, "seed": 0, "deterministic": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip
ROUNDS, PATIENCE, SMOOTHING = 1000, 50, 10.0
TEST_DAYS: Final = ("2022-04-27", "2022-04-28", "2022-04-29", "2022-04-30")
OBJECTIVES: Final = {
    "long_view": "binary", "click": "binary", "like": "binary", "watch_time": "regression_l1",
    "watch_mean": "regression", "watch_rank": "regression",
}  # fmt: skip


def impressions(folder: Path) -> pd.DataFrame:
    """Every impression without exact duplicates, in the file's order."""
    return pd.read_parquet(folder / "impressions_0425_0430.parquet").drop_duplicates().reset_index(drop=True)


def day_numbers(dates: Sequence[object]) -> np.ndarray:
    """Days since 1970 of dates such as 20220425 or 2022-04-25."""
    days = pd.to_datetime(pd.Series(dates).astype(str)).to_numpy().astype("datetime64[D]")
    return days.astype(np.int64)


def folds_of(rows: pd.DataFrame) -> list[Fold]:
    """The protocol's folds by the log's own date."""
    return rolling_origin(day_numbers(rows.date), day_numbers(TEST_DAYS).tolist())


def labels_of(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What each head is judged by; seconds for watch times."""
    watch_s = rows.play_time_ms.to_numpy(np.float64) / 1000
    binary = {"long_view": "long_view", "click": "is_click", "like": "is_like"}
    found = {head: rows[column].to_numpy(np.float64) for head, column in binary.items()}
    return found | {"watch_time": watch_s, "watch_mean": watch_s, "watch_rank": np.log1p(watch_s)}


def columns_of(folder: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """The reference's columns for each row; text as categories."""
    videos, users = pd.read_parquet(folder / "videos.parquet"), pd.read_parquet(folder / "users.parquet")
    uploaded = (pd.to_datetime(videos.upload_dt) - pd.Timestamp("2022-04-01")).dt.days
    videos = videos.drop(columns="upload_dt").assign(upload_day=uploaded)
    columns = rows[["user_id", "video_id", "tab", "duration_ms"]].assign(hour=rows.hourmin // 100)
    columns = columns.merge(videos, on="video_id", how="left").merge(users, on="user_id", how="left")
    texts = [name for name in columns if columns[name].dtype == object]
    columns = columns.astype(dict.fromkeys(texts, "category")).drop(columns=["user_id", "video_id"])
    return columns.assign(rate=earlier_rate(folder, rows))


def earlier_rate(folder: Path, rows: pd.DataFrame) -> np.ndarray:
    """(long views + 10 g) / (views + 10) of each row's video before its day, g the histories' mean."""
    past = pd.read_parquet(folder / "histories_0408_0424.parquet")
    videos = int(max(rows.video_id.max(), np.concatenate(past.watch_seq.to_numpy()).max())) + 1
    views = np.bincount(np.concatenate(past.watch_seq.to_numpy()), minlength=videos).astype(np.float64)
    long = np.zeros(videos)
    for watched, liked in zip(past.watch_seq, past.long_watch_seq, strict=True):
        np.add.at(long, watched[np.isin(watched, liked)], 1)
    mean, rate = long.sum() / views.sum(), np.zeros(len(rows))
    for date in np.unique(rows.date):
        today = (rows.date == date).to_numpy()
        video = rows.video_id.to_numpy()[today]
        rate[today] = ((long + SMOOTHING * mean) / (views + SMOOTHING))[video]
        np.add.at(views, video, 1)
        np.add.at(long, video, rows.long_view.to_numpy(np.float64)[today])
    return rate


def predict(columns: pd.DataFrame, label: np.ndarray, objective: str, folds: Sequence[Fold]) -> np.ndarray:
    """Predictions of every fold's test rows, NaN elsewhere."""
    out = np.full(len(columns), np.nan)
    for fold in folds:
        train = lgb.Dataset(columns.iloc[fold.train], label[fold.train])
        valid = lgb.Dataset(columns.iloc[fold.valid], label[fold.valid], reference=train)
        booster = lgb.train(
            {**SETTINGS, "objective": objective}, train, ROUNDS, [valid],
            callbacks=[lgb.early_stopping(PATIENCE, verbose=False)],
        )  # fmt: skip
        out[fold.test] = booster.predict(columns.iloc[fold.test])
    return out


def predictions(folder: Path) -> dict[str, np.ndarray]:
    """Every head's predictions of the test rows, NaN elsewhere."""
    rows = impressions(folder)
    columns, labels, folds = columns_of(folder, rows), labels_of(rows), folds_of(rows)
    return {head: predict(columns, labels[head], objective, folds) for head, objective in OBJECTIVES.items()}


def main() -> None:
    """Print the reference's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    rows = impressions(folder)
    labels, found = labels_of(rows), predictions(folder)
    test = np.concatenate([fold.test for fold in folds_of(rows)])
    figures = {f"{head}_auc": auc(labels[head][test], found[head][test]) for head in ("long_view", "click", "like")}
    figures["long_view_logloss"] = logloss(labels["long_view"][test], found["long_view"][test])
    figures["watch_mae_s"] = mae(labels["watch_time"][test], found["watch_time"][test])
    figures["watch_rmse_s"] = rmse(labels["watch_mean"][test], found["watch_mean"][test])
    figures["xauc"] = xauc(labels["watch_rank"][test], found["watch_rank"][test])
    print(json.dumps({"benchmark": "reference", "rows": len(test), "lightgbm": lgb.__version__} | figures))


if __name__ == "__main__":
    main()
