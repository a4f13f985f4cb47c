"""Which impressions the heads learn from where the log has more of them than are read: all rare ones, and a sample."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.arrays import Array, Float32
from core.room import Room
from features.dataset import Rows
from features.layout import OP
from training.config import TrainConfig
from training.log_data import LogData
from training.progress import Progress
from training.split import Split
from training.standing import with_standing

_RARE = ("like", "share", "comment", "save", "follow", "not_interested", "report", "hide_author", "block")
_RARE_BITS = sum(1 << OP[name] for name in _RARE)


@dataclass(slots=True)
class HeadSample:
    """Chooses the rows of a replay; `weights` [rows] float32 are then what each stands for, None where all were taken.

    Of the training part at most `max_head_rows` stay: rows whose viewer reacted, up to half of the room, then the
    others. A row's weight is the inverse of its probability, over their mean: shares of the sample are the log's."""

    split: Split
    config: TrainConfig
    weights: Float32 | None = None

    def __call__(self, time_ms: Array, watched: Array, reactions: Array) -> Array:
        """Row numbers, ascending; everything where there is room for it."""
        split, most = self.split, self.config.max_head_rows
        train = np.flatnonzero(watched & (time_ms >= split.heads_from_ms) & (time_ms < split.valid_from_ms))
        valid = np.flatnonzero((time_ms >= split.valid_from_ms) & (time_ms < split.test_from_ms))
        if len(train) <= most and len(valid) <= self.config.max_valid_rows:
            return np.arange(len(time_ms))
        rng = np.random.default_rng(self.config.seed)
        train, weights = _drawn(train, (reactions[train] & _RARE_BITS) != 0, most, rng)
        if len(valid) > self.config.max_valid_rows:
            valid = np.sort(rng.choice(valid, self.config.max_valid_rows, replace=False))
        later = np.flatnonzero(time_ms >= split.test_from_ms)
        self.weights = np.concatenate([weights, np.ones(len(valid) + len(later), np.float32)])
        return np.concatenate([train, valid, later])


def head_rows(
    data: LogData, split: Split, config: TrainConfig, scratch: Path, progress: Progress
) -> tuple[Rows, Array | None]:
    """The impressions that heads learn from and are judged on, with features, by a replay; their weights, None where
    all weigh alike."""
    sample = HeadSample(split, config)
    rows = data.driver.run(
        split.heads_from_ms, Room(scratch), lambda done, total: progress("features", done, total), choose=sample
    )
    return with_standing(rows, split.valid_from_ms), sample.weights


def _drawn(rows: Array, rare: Array, most: int, rng: np.random.Generator) -> tuple[Array, Float32]:
    """At most so many of these rows, and their weights."""
    if len(rows) <= most:
        return rows, np.ones(len(rows), np.float32)
    room = min(int(rare.sum()), most // 2)
    parts = [(rows[rare], room), (rows[~rare], most - room)]
    taken = [np.sort(rng.choice(part, count, replace=False)) if len(part) > count else part for part, count in parts]
    weights = [np.full(len(got), len(part) / max(len(got), 1)) for got, (part, _) in zip(taken, parts, strict=True)]
    chosen = np.concatenate(taken)
    order = np.argsort(chosen)
    weight = np.concatenate(weights)[order]
    return chosen[order], (weight / max(weight.mean(), 1e-9)).astype(np.float32)
