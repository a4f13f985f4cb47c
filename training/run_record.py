"""What one training run says of itself: parameters, curves, figures, plots, and what it was made from."""

import hashlib
import importlib.metadata
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from candidate_gen.recall import recalls
from core.arrays import Array, Float64
from core.manifest import Manifest
from training.config import TrainConfig
from training.log_data import LogData
from training.plots import calibration_plot, contribution_plot, importance_plot, recall_plot, watch_error_plot
from training.ranking_fit import ranker_matrix
from training.source_scores import SourceScores, later_long_views, source_ranks
from training.tracking import Run

if TYPE_CHECKING:
    from training.pipeline import Fitted

MAIN_HEAD = "long_view"
CUTS = (5, 10, 20, 50, 100, 200, 500)
_PLOTTED_ROWS, _EXPLAINED_ROWS, _PLOTTED_VIEWERS, _TOP = 50_000, 2_000, 1_000, 15


def run_of(
    data: LogData, config: TrainConfig, fitted: "Fitted", manifest: Manifest, now_ms: int, champion: bool
) -> Run:
    """The record of a run that wrote this bundle."""
    return Run(
        key=f"{manifest.bundle_id}-{now_ms}",
        name=manifest.bundle_id,
        time_ms=now_ms,
        bundle=manifest.bundle_id,
        champion=champion,
        parameters=config.model_dump(),
        metrics={name: float(value) for name, value in (fitted.metrics | importance(fitted)).items()},
        curves={name: tuple(map(float, curve)) for name, curve in fitted.curves.items()},
        tags={
            "bundle": manifest.bundle_id,
            "feature_schema": manifest.feature_schema,
            "data_fingerprint": fingerprint(data),
            "data_offset": str(data.applied_offset),
            "code_version": code_version(),
            **descent(manifest),
        },
    )


def descent(manifest: Manifest) -> dict[str, str]:
    """Tags of a bundle that continues another one; none for one that began anew."""
    if not manifest.parent:
        return {}
    return {"incremental": "true", "parent": manifest.parent, "increments": str(manifest.increments)}


def plots_of(data: LogData, config: TrainConfig, fitted: "Fitted") -> dict[str, bytes]:
    """Every plot by its file name, drawn from a sample of the validation part. For an increment those that say how
    it predicts: its new trees alone explain nothing, and its parent's retrieval has plots of its own."""
    rng = np.random.default_rng(config.seed)
    valid = _sample(fitted.ranking.valid_index, _PLOTTED_ROWS, rng)
    heads = fitted.ranking.trained.heads
    plots = _prediction_plots(data, fitted, valid)
    if fitted.parent is not None:
        return plots
    plots["feature_importance.png"] = importance_plot({name: head.gain for name, head in heads.items()})
    if MAIN_HEAD in heads:
        names = fitted.ranking.trained.feature_names
        codes = _codes(data, fitted, _sample(valid, _EXPLAINED_ROWS, rng))
        plots[f"shap_{MAIN_HEAD}.png"] = contribution_plot(names, contributions(fitted, codes), codes, MAIN_HEAD)
    recall = recall_by_cut(data, fitted, rng)
    if recall:
        plots["recall_by_k.png"] = recall_plot(recall, CUTS)
    return plots


def fingerprint(data: LogData) -> str:
    """A hash of the events that were learned from: the same log to the same offset has the same. 16 hex digits"""
    events, digest = data.events, hashlib.blake2b(digest_size=8)
    digest.update(f"{data.applied_offset} {len(events)}".encode())
    for column in (events.offset, events.time_ms, events.op, events.viewer, events.video, events.play_ms):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def code_version() -> str:
    """The commit of the checkout, with "-changed" where files differ from it; the package's version elsewhere."""
    root = Path(__file__).resolve().parents[1]
    package = importlib.metadata.version("foryou")
    if not (root / ".git").exists():
        return package
    try:
        commit, changes = (_git(root, *words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    except (OSError, subprocess.SubprocessError):
        return package
    return commit + ("-changed" if changes else "")


def importance(fitted: "Fitted") -> dict[str, float]:
    """Share of gain of the most important features of each head."""
    shares = {}
    for name, head in fitted.ranking.trained.heads.items():
        total = sum(head.gain.values()) or 1.0
        for feature, gain in sorted(head.gain.items(), key=lambda item: -item[1])[:_TOP]:
            shares[f"importance/{name}/{feature}"] = gain / total
    return shares


def contributions(fitted: "Fitted", codes: Array) -> Float64:
    """What each feature adds to the main head's raw score over its mean (SHAP, exact for trees), by LightGBM itself.
    [rows, features] float64"""
    import lightgbm

    booster = lightgbm.Booster(model_str=fitted.ranking.trained.heads[MAIN_HEAD].model)
    found = np.asarray(booster.predict(codes.astype(np.float64), pred_contrib=True))
    return np.asarray(found[:, :-1], np.float64)


def recall_by_cut(data: LogData, fitted: "Fitted", rng: np.random.Generator) -> dict[str, list[float]]:
    """Source -> recall at each of CUTS on the validation part, by the fit that has not seen it; empty without views."""
    rows, split, watches, table = fitted.rows, fitted.split, data.interactions(), data.state.table
    valid = fitted.ranking.valid_index
    liked = valid[rows.labels["long_view"][valid] > 0]
    viewer, video = rows.viewer[liked], rows.video[liked]
    some = _sample(np.unique(viewer), _PLOTTED_VIEWERS, rng)
    kept = np.isin(viewer, some)
    held, viewers = later_long_views(watches, viewer[kept], video[kept], split.valid_from_ms, len(table), rng)
    if not len(held):
        return {}
    found = source_ranks(SourceScores(fitted.early, table, watches, split.valid_from_ms), fitted.blend, held, viewers)
    return {name: [float(recalls(rank, held, cut).mean()) for cut in CUTS] for name, rank in found.items()}


def _prediction_plots(data: LogData, fitted: "Fitted", index: Array) -> dict[str, bytes]:
    rows, heads = fitted.rows, fitted.ranking.trained.heads
    predictions = fitted.ranking.ranker.predict_codes(_codes(data, fitted, index))
    labels = {name: rows.labels[head.config.column][index] for name, head in heads.items()}
    binary = [name for name, head in heads.items() if head.config.objective == "binary"]
    plots = {}
    if binary:
        observed = {name: _observed(labels[name], predictions[name]) for name in binary}
        plots["calibration.png"] = calibration_plot({name: pair for name, pair in observed.items() if len(pair[0])})
    if "watch_time" in predictions:
        error = predictions["watch_time"] - labels["watch_time"]
        known = np.isfinite(error)
        plots["watch_time_error.png"] = watch_error_plot(rows.length_ms[index][known] / 1000, error[known])
    return plots


def _observed(label: Array, prediction: Array) -> tuple[Array, Array]:
    known = ~np.isnan(label)
    return label[known], prediction[known]


def _codes(data: LogData, fitted: "Fitted", index: Array) -> Array:
    matrix = ranker_matrix(fitted.rows, index, fitted.early_cross, data.driver.records)
    return fitted.ranking.ranker.bins.codes(matrix)


def _sample(index: Array, most: int, rng: np.random.Generator) -> Array:
    return index if len(index) <= most else np.sort(rng.choice(index, most, replace=False))


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
