"""One training run, from the log to a bundle."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from candidate_gen.blend import Blend
from candidate_gen.interactions import Interactions
from core.arrays import Array
from core.manifest import Manifest
from core.room import Room
from core.video_table import VideoTable
from features.dataset import Rows
from training.bundle_writer import write_bundle
from training.config import TrainConfig
from training.cross import CrossFeatures
from training.drift import WINDOW_FILE, training_window
from training.feedback.rows import LoggedRows
from training.head_sample import head_rows
from training.log_data import LogData
from training.metrics import auc, calibration_error, logloss, mae, rmse, xauc
from training.progress import Progress, silent
from training.publication import Publication, publish
from training.ranking_fit import RankingFit, fit_ranking, ranker_matrix
from training.repeatable import repeatable
from training.retrieval import Retrieval, best_epochs, fit_retrieval
from training.run_identity import fits_of_run
from training.source_scores import SourceScores, fit_blend, later_long_views
from training.split import Split, split_at
from training.standing import with_standing


@dataclass(frozen=True, slots=True)
class Fitted:
    """Everything that a run fitted, before it is written; `serving` is the retrieval that the bundle ships,
    `early` the one whose scores the heads were trained on and whose blend the validation part chose; `parent` is the
    bundle that was continued, None where everything began anew."""

    rows: Rows
    split: Split
    early: Retrieval
    early_cross: CrossFeatures
    serving: Retrieval
    cross: CrossFeatures
    blend: Blend
    ranking: RankingFit
    curves: dict[str, tuple[float, ...]]
    metrics: dict[str, float]
    parent: Manifest | None = None


def fit(
    data: LogData,
    config: TrainConfig,
    scratch: Path,
    progress: Progress = silent,
    test_day: int | None = None,
    logged: LoggedRows | None = None,
) -> Fitted:
    """Replay, split, towers, heads; with `test_day` nothing of that day or later is learned from. With `logged` the
    heads learn from the rows that serving logged, and nothing is replayed for them."""
    repeatable(config.threads)
    impressions = data.events.time_ms[data.events.surface > 0]
    split = split_at(np.sort(impressions), config.tower_share, config.valid_share, config.utc_offset_h, test_day)
    weights: Array | None
    if logged is not None:
        split, weights = logged.split(split, config.valid_share), logged.weights
        rows = with_standing(logged.rows, split.valid_from_ms)
    else:
        rows, weights = head_rows(data, split, config, scratch, progress)
    watches, table = data.interactions(), data.state.table
    fits = fits_of_run(scratch, data, config, test_day)
    early = fit_retrieval(watches, table, split.heads_from_ms, config, progress, "two towers, first fit", fits=fits)
    cross = CrossFeatures(early, table, split.heads_from_ms)
    # Weights that are all alike say nothing.
    weights = None if weights is None or np.ptp(weights) == 0 else weights
    ranking = fit_ranking(rows, split, cross, data.driver.records, config, progress, weights, Room(scratch))
    blend = validation_blend(rows, ranking.valid_index, watches, table, early, split.valid_from_ms, config.seed)
    progress("blend of the sources", 1, 1)
    serving = early
    if config.refit_towers:
        epochs = best_epochs(early.curve)
        serving = fit_retrieval(
            watches, table, split.test_from_ms, config, progress, "two towers, served fit", epochs, fits
        )
        served = CrossFeatures(serving, table, split.test_from_ms)
    else:
        served = cross
    metrics = validation_metrics(ranking, rows, cross, data.driver.records)
    metrics["validation/recall_at_100"] = max((e.recall_at_100 for e in early.curve), default=float("nan"))
    metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}
    metrics |= {f"blend/{name}": weight for name, weight in blend.weights.items()}
    curves = _curves(ranking, early, serving)
    fits.checkpoints.clear()
    return Fitted(rows, split, early, cross, serving, served, blend, ranking, curves, metrics)


def train(
    data: LogData,
    config: TrainConfig,
    home: Path,
    now_ms: int,
    progress: Progress = silent,
    logged: LoggedRows | None = None,
    how: Publication | None = None,
) -> tuple[Manifest, Fitted]:
    """Fit on the whole log, write the bundle and publish it."""
    fitted = fit(data, config, home / "scratch", progress, logged=logged)
    return ship(data, config, home, fitted, now_ms, progress, how), fitted


def ship(
    data: LogData,
    config: TrainConfig,
    home: Path,
    fitted: Fitted,
    now_ms: int,
    progress: Progress = silent,
    how: Publication | None = None,
) -> Manifest:
    """Write what was fitted as a bundle and publish it."""
    progress("bundle", 0, 2)
    window = training_window(data, fitted, config.seed)
    manifest = write_bundle(home / "bundles", data, fitted, config, now_ms, {WINDOW_FILE: window.to_bytes()})
    progress("bundle", 1, 2)
    publish(home, data, config, fitted, manifest, now_ms, how or Publication())
    progress("bundle", 2, 2)
    return manifest


def validation_blend(
    rows: Rows, valid: Array, watches: Interactions, table: VideoTable, fit: Retrieval, now_ms: int, seed: int
) -> Blend:
    """The blend that finds most of the validation part's unseen long views, from what was known when it began."""
    liked = valid[rows.labels["long_view"][valid] > 0]
    rng, videos = np.random.default_rng(seed), len(table)
    held, viewers = later_long_views(watches, rows.viewer[liked], rows.video[liked], now_ms, videos, rng)
    return fit_blend(SourceScores(fit, table, watches, now_ms), held, viewers)


def validation_metrics(fit: RankingFit, rows: Rows, cross: CrossFeatures, records: Array) -> dict[str, float]:
    """Each head's own metrics on the validation part."""
    predictions = fit.ranker.predict(ranker_matrix(rows, fit.valid_index, cross, records))
    metrics: dict[str, float] = {"validation/rows": float(len(fit.valid_index))}
    for head, prediction in predictions.items():
        trained = fit.trained.heads[head]
        label = rows.labels[trained.config.column][fit.valid_index]
        if trained.config.objective == "binary":
            metrics[f"validation/{head}/auc"] = auc(label, prediction)
            metrics[f"validation/{head}/logloss"] = logloss(label, prediction)
            metrics[f"validation/{head}/ece"] = calibration_error(label, prediction)
        elif trained.config.orders:
            metrics[f"validation/{head}/xauc"] = xauc(label, prediction)
        else:
            metrics[f"validation/{head}/mae"] = mae(label, prediction)
            metrics[f"validation/{head}/rmse"] = rmse(label, prediction)
    return metrics


def _curves(ranking: RankingFit, early: Retrieval, serving: Retrieval) -> dict[str, tuple[float, ...]]:
    curves = {f"curve/{name}/{head.metric}": head.curve for name, head in ranking.trained.heads.items()}
    for name, retrieval in (("first", early), ("served", serving)):
        curves[f"curve/towers_{name}/loss"] = tuple(e.loss for e in retrieval.curve)
        curves[f"curve/towers_{name}/recall_at_100"] = tuple(e.recall_at_100 for e in retrieval.curve)
    return curves
