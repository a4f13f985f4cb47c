"""Fits what retrieves: the two towers and the item-to-item neighbours, on watches up to a moment."""

from dataclasses import dataclass

from candidate_gen.interactions import Interactions
from candidate_gen.item_to_item import Neighbours, neighbours_of
from candidate_gen.towers import TowerArrays
from candidate_gen.train_towers import EpochRecord, train_towers
from core.video_table import VideoTable
from training.config import TrainConfig
from training.progress import Progress


@dataclass(frozen=True, slots=True)
class Retrieval:
    """One fit of the models that know viewers and videos by vectors, with the retrieval towers' curve."""

    towers: TowerArrays
    affinity: TowerArrays
    neighbours: Neighbours
    curve: tuple[EpochRecord, ...]


def fit_retrieval(
    watches: Interactions,
    table: VideoTable,
    until_ms: int,
    config: TrainConfig,
    progress: Progress,
    step: str,
    epochs: int = 0,
) -> Retrieval:
    """Both pairs of towers and the neighbours from the watches before `until_ms`.

    Without `epochs` the last day chooses how many passes the retrieval towers get.
    """
    progress(step, 0, 2)
    neighbours = neighbours_of(watches.before(until_ms), len(table), config.item_to_item)
    changes: dict[str, object] = {"seed": config.seed, "refit": False}
    if epochs:
        changes |= {"epochs": epochs, "holdout_ms": 0}
    words = tuple(() for _ in watches.profile_sizes)
    towers = config.towers.model_copy(update=changes)
    trained = train_towers(watches, table, towers, from_ms=0, until_ms=until_ms, profile_words=words)
    progress(step, 1, 2)
    affinity = config.affinity.model_copy(update={"seed": config.seed})
    ranked = train_towers(watches, table, affinity, from_ms=0, until_ms=until_ms, profile_words=words)
    progress(step, 2, 2)
    return Retrieval(trained.arrays, ranked.arrays, neighbours, trained.curve)


def best_epochs(curve: tuple[EpochRecord, ...]) -> int:
    """The number of epochs with the best recall."""
    return max(curve, key=lambda record: record.recall_at_100).epoch
