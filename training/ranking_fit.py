"""Fits the ranker: features and cross features to codes, all heads on shared bins, calibration on the last part."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from core.arrays import Array, Float32
from core.room import MEMORY, Room
from features.dataset import Rows
from features.definitions import NAMES
from feeds.bundle import RANKER_NAMES
from ranking.bins import Codes, SharedBins
from ranking.heads import TrainedHeads, train_heads
from ranking.ranker import Ranker
from training.config import TrainConfig
from training.cross import CrossFeatures
from training.progress import Progress, silent
from training.split import Split

_CHUNK = 65_536
_BIN_SAMPLE = 200_000

Matrix = Callable[[Array], Float32]
"""The ranker's matrix of row numbers: [index, names] float32."""


@dataclass(frozen=True, slots=True)
class RankingFit:
    """The servable ranker, its heads with curves and importance, and which rows trained and validated it."""

    ranker: Ranker
    trained: TrainedHeads
    train_index: Array
    valid_index: Array


def ranker_matrix(rows: Rows, index: Array, cross: CrossFeatures, records: Array) -> Float32:
    """The ranker's matrix of impressions `index`: declared features, then cross features. [index, names] float32"""
    out = np.empty((len(index), len(RANKER_NAMES)), np.float32)
    out[:, : len(NAMES)] = rows.matrix(index)
    out[:, len(NAMES) :] = cross.matrix(rows, index, records)
    return out


def codes_of(matrix: Matrix, index: Array, bins: SharedBins, room: Room = MEMORY) -> Codes:
    """Codes of impressions in chunks, so that the floats are never all in memory. [index, names] uint8"""
    out = room.empty((len(index), bins.features), np.uint8)
    for start in range(0, len(index), _CHUNK):
        part = index[start : start + _CHUNK]
        out[start : start + len(part)] = bins.codes(matrix(part))
    return out


def fit_ranking(
    rows: Rows,
    split: Split,
    cross: CrossFeatures,
    records: Array,
    config: TrainConfig,
    progress: Progress,
    weights: Array | None = None,
    room: Room = MEMORY,
) -> RankingFit:
    """Heads on [heads_from, valid_from), stopped and calibrated on [valid_from, test_from); `weights` [rows] weigh
    the first part."""
    rng = np.random.default_rng(config.seed)
    watched = ~np.isnan(rows.labels["long_view"])
    train = rows.select(watched & (rows.time_ms >= split.heads_from_ms) & (rows.time_ms < split.valid_from_ms))
    valid = rows.select(watched & (rows.time_ms >= split.valid_from_ms) & (rows.time_ms < split.test_from_ms))
    if len(train) > config.max_head_rows:
        train = np.sort(rng.choice(train, config.max_head_rows, replace=False))
    matrix = partial(ranker_matrix, rows, cross=cross, records=records)
    return fit_heads(matrix, rows.labels, train, valid, config, progress, weights, room=room)


def fit_heads(
    matrix: Matrix,
    labels: Mapping[str, Array],
    train: Array,
    valid: Array,
    config: TrainConfig,
    progress: Progress = silent,
    weights: Array | None = None,
    names: Collection[str] = (),
    room: Room = MEMORY,
) -> RankingFit:
    """All heads of `config`, or those of `names`, on rows `train`, stopped and calibrated on `valid`.

    Labels and `weights` go by row number."""
    rng = np.random.default_rng(config.seed)
    sample = np.sort(rng.choice(train, min(len(train), _BIN_SAMPLE), replace=False))
    bins = SharedBins.fit(matrix(sample))
    train_codes, valid_codes = (codes_of(matrix, index, bins, room) for index in (train, valid))
    valid_labels = {name: label[valid] for name, label in labels.items()}
    heads = tuple(head for head in config.heads_for(len(train)) if not names or head.name in names)

    def report(head: str, iteration: int, rounds: int, metric: float | None) -> None:
        number = next(at for at, one in enumerate(heads) if one.name == head)
        progress("ranking heads", 100 * number + 100 * iteration // rounds, 100 * len(heads))

    trained = train_heads(
        train_codes, {name: label[train] for name, label in labels.items()}, valid_codes, valid_labels,
        RANKER_NAMES, heads, weights=None if weights is None else weights[train], threads=config.threads,
        progress=report,
    )  # fmt: skip
    progress("ranking heads", 100 * len(heads), 100 * len(heads))
    return RankingFit(trained.ranker(bins, valid_codes, valid_labels), trained, train, valid)
