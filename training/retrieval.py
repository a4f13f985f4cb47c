"""Fits what retrieves: the two towers, ALS, EASE and the item-to-item neighbours, on watches up to a moment."""

import math
from dataclasses import dataclass, field

from candidate_gen.als import AlsFactors, fit_als
from candidate_gen.ease import fit_ease
from candidate_gen.interactions import Interactions
from candidate_gen.item_to_item import Neighbours, neighbours_of
from candidate_gen.towers import TowerArrays
from candidate_gen.train_towers import EpochRecord
from core.video_table import VideoTable
from features.layout import HISTORY
from feeds.session_lengths import SessionLengths, fit_session_lengths
from training.config import TrainConfig
from training.progress import Progress
from training.tower_fits import TowerFits, TowerTask

LOCAL = TowerFits()

_SESSION_WATCHES = 300_000


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One fit of the models that know viewers and videos by vectors, with the retrieval towers' curve; `linear` is
    EASE's matrix."""

    towers: TowerArrays
    affinity: TowerArrays
    neighbours: Neighbours
    als: AlsFactors
    linear: Neighbours
    curve: tuple[EpochRecord, ...]
    lengths: SessionLengths = field(default_factory=SessionLengths)


def fit_retrieval(
    watches: Interactions,
    table: VideoTable,
    until_ms: int,
    config: TrainConfig,
    progress: Progress,
    step: str,
    epochs: int = 0,
    fits: TowerFits = LOCAL,
) -> Retrieval:
    """Everything from the watches before `until_ms`.

    Without `epochs` the last day chooses how many passes the retrieval towers get.
    """
    progress(step, 0, 3)
    past = watches.before(until_ms).of_some(config.max_linear_watches, config.seed)
    neighbours = neighbours_of(past, len(table), config.item_to_item)
    als_config = config.als.model_copy(update={"seed": config.seed})
    als = fit_als(past, len(table), als_config)
    linear = fit_ease(past, len(table), config.ease)
    progress(step, 1, 3)
    changes: dict[str, object] = {"seed": config.seed, "refit": False}
    if epochs:
        changes |= {"epochs": epochs, "holdout_ms": 0}
    towers = config.towers.model_copy(update=changes)
    trained = fits.fit(TowerTask(table, towers, config, until_ms, config.start_from_als), watches, (past, als))
    progress(step, 2, 3)
    affinity = config.affinity.model_copy(update={"seed": config.seed})
    ranked = fits.fit(TowerTask(table, affinity, config, until_ms), watches)
    progress(step, 3, 3)
    lengths = session_lengths(past, table, config.seed)
    return Retrieval(trained.arrays, ranked.arrays, neighbours, als, linear, trained.curve, lengths)


def session_lengths(watches: Interactions, table: VideoTable, seed: int) -> SessionLengths:
    """Which length divides the sessions, from watches of some viewers where there are many."""
    some = watches.of_some(_SESSION_WATCHES, seed)
    return fit_session_lengths(some.indptr, some.video, some.signal, some.time_ms, table.length_ms, HISTORY)


def best_epochs(curve: tuple[EpochRecord, ...]) -> int:
    """The number of epochs with the best recall, all of them where none could be judged."""
    judged = [record for record in curve if math.isfinite(record.recall_at_100)]
    return max(judged, key=lambda record: record.recall_at_100).epoch if judged else curve[-1].epoch
