"""Evaluates one held-out day of a log: every head and retrieval beside popularity and item-to-item, and by segment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from core.arrays import Array, Float32
from core.room import Room
from features.definitions import FEATURES
from feeds.cross import CROSS
from training.baselines import mapped, popularity
from training.config import TrainConfig
from training.head_figures import SegmentReport, head_figures, segment_reports, segments
from training.log_data import LogData
from training.metrics import auc, mae, paired, rmse, viewer_bootstrap, xauc
from training.pipeline import Fitted, fit
from training.progress import Progress, silent
from training.protocol import frozen_until
from training.ranking_fit import ranker_matrix
from training.recall_evaluation import RetrievalReport, evaluate_retrieval

ROUNDS = 200
_NEIGHBOUR_SCORE = CROSS.index("neighbour_score")


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of ours and of a baseline on the same rows; `better` is the gain (its sign turned where less is
    better) with its 95% interval by resampling viewers."""

    ours: float
    baseline: float
    better: float
    low: float
    high: float

    @property
    def beats(self) -> bool:
        """The interval excludes zero."""
        return self.low > 0


class HeadReport(msgspec.Struct, frozen=True, kw_only=True):
    """One head on its own metric, against both baselines, and every metric that its output has (docs/evaluation.md)."""

    head: str
    metric: str
    rows: int
    positives: int
    figures: dict[str, float]
    popularity: Compared
    item_to_item: Compared


class EvaluationReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that `foryou evaluate` prints."""

    test_day: str
    train_rows: int
    valid_rows: int
    test_rows: int
    viewers: int
    heads: list[HeadReport]
    segments: list[SegmentReport]
    skipped: dict[str, str]
    retrieval: RetrievalReport


_METRICS: dict[str, tuple[str, Callable[[Array, Array], float], float]] = {
    "binary": ("auc", auc, 1.0),
    "median": ("mae", mae, -1.0),
    "mean": ("rmse", rmse, -1.0),
    "tweedie": ("rmse", rmse, -1.0),
}


def evaluate(
    data: LogData, config: TrainConfig, scratch: Path, test_day: int, progress: Progress = silent
) -> EvaluationReport:
    """Fit without the test day and after, then score it; `test_day` counts days since 1970 in the log's calendar."""
    fitted = fit(data, config, scratch, progress, test_day)
    rows, split = fitted.rows, fitted.split
    watched = ~np.isnan(rows.labels["long_view"])
    test = rows.select(watched & (rows.time_ms >= split.test_from_ms) & (rows.time_ms < split.test_until_ms))
    judged = _predicted(data, fitted, test, test_day, config, scratch)
    heads = _heads(data, fitted, test, judged, config.seed, progress)
    progress("retrieval", 0, 1)
    retrieval = evaluate_retrieval(data, fitted, test, config.seed)
    progress("retrieval", 1, 1)
    return EvaluationReport(
        test_day=str(np.datetime64(test_day, "D")),
        train_rows=len(fitted.ranking.train_index),
        valid_rows=len(fitted.ranking.valid_index),
        test_rows=len(test),
        viewers=len(np.unique(rows.viewer[test])),
        heads=heads,
        segments=_segments(data, fitted, test, judged),
        skipped=fitted.ranking.trained.skipped,
        retrieval=retrieval,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """Predictions of the test rows by head: with the state at each row, and with the viewer's as the day began."""

    live: Mapping[str, Array]
    still: Mapping[str, Array]


def _predicted(
    data: LogData, fitted: Fitted, test: Array, test_day: int, config: TrainConfig, scratch: Path
) -> _Judged:
    rows, ranker = fitted.rows, fitted.ranking.ranker
    live = ranker_matrix(rows, test, fitted.cross, data.driver.records)
    still = live.copy()
    day = np.full(len(test), test_day)
    moments = frozen_until(rows.time_ms[test], day, config.utc_offset_h)
    frozen = _replayed(data, fitted, test, moments, scratch)
    # What a video has counted stays as it is at the row: it gives away nothing of the viewer's own list.
    of_viewer = [at for at, feature in enumerate(FEATURES) if feature.owner == "viewer"]
    changed = [*of_viewer, *range(len(FEATURES), live.shape[1])]
    still[:, changed] = frozen[:, changed]
    return _Judged(ranker.predict(live), ranker.predict(still))


def _replayed(data: LogData, fitted: Fitted, test: Array, moments: Array, scratch: Path) -> Float32:
    """The ranker's matrix of the test rows with everything as known at `moments` [test]."""
    first, last = fitted.split.test_from_ms, fitted.split.test_until_ms

    def choose(time_ms: Array, watched: Array, bits: Array) -> Array:
        return np.flatnonzero(watched & (time_ms >= first) & (time_ms < last))

    data.driver.forget()
    known = data.driver.run(room=Room(scratch), known_until_ms=moments, choose=choose)
    assert np.array_equal(known.time_ms, fitted.rows.time_ms[test])
    return ranker_matrix(known, np.arange(len(known)), fitted.cross, data.driver.records)


def _segments(data: LogData, fitted: Fitted, test: Array, judged: _Judged) -> list[SegmentReport]:
    if not {"long_view", "watch_time"} <= judged.live.keys():
        return []
    rows = fitted.rows
    earlier = np.diff(data.interactions().before(fitted.split.test_from_ms).indptr)
    viewer = rows.viewer[test]
    return segment_reports(
        segments(viewer, earlier[viewer], rows.length_ms[test]),
        viewer,
        rows.labels["long_view"][test],
        judged.live["long_view"],
        rows.labels["watch_time"][test],
        judged.live["watch_time"],
    )


def _heads(
    data: LogData, fitted: Fitted, test: Array, judged: _Judged, seed: int, progress: Progress
) -> list[HeadReport]:
    rows, records = fitted.rows, data.driver.records
    valid = fitted.ranking.valid_index
    neighbour = fitted.cross.matrix(rows, np.concatenate([valid, test]), records)[:, _NEIGHBOUR_SCORE]
    reports = []
    for number, (head, prediction) in enumerate(judged.live.items()):
        config = fitted.ranking.trained.heads[head].config
        label = rows.labels[config.column]
        name, metric, sign = ("xauc", xauc, 1.0) if config.orders else _METRICS[config.objective]
        video_rate = popularity(rows, label, fitted.split.test_from_ms, len(data.state.table))
        scores = {"popularity": video_rate[rows.video], "item_to_item": np.zeros(len(rows))}
        scores["item_to_item"][np.concatenate([valid, test])] = neighbour
        compared = {}
        for baseline, score in scores.items():
            other = mapped(score[test], score[valid], label[valid], config.objective == "median")
            if config.objective == "binary":
                rising = auc(label[valid], score[valid]) >= 0.5  # a skip is likelier where the score is low
                other = score[test] if rising else -score[test]
            compared[baseline] = _compare(label[test], prediction, other, rows.viewer[test], metric, sign, seed)
        positives = int((label[test] > 0).sum())
        figures = head_figures(
            config, label[test], prediction, judged.still[head], rows.viewer[test], rows.length_ms[test], seed
        )
        reports.append(
            HeadReport(head=head, metric=name, rows=len(test), positives=positives, figures=figures, **compared)
        )
        progress("heads against baselines", number + 1, len(judged.live))
    return reports


def _compare(
    label: Array,
    ours: Array,
    other: Array,
    viewer: Array,
    metric: Callable[[Array, Array], float],
    sign: float,
    seed: int,
) -> Compared:
    gain = paired(metric, sign, label, ours, other)
    low, high = viewer_bootstrap(viewer, gain, ROUNDS, np.random.default_rng(seed))
    every = np.arange(len(label))
    return Compared(ours=metric(label, ours), baseline=metric(label, other), better=gain(every), low=low, high=high)
