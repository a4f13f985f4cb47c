"""The models of a bundle, continued on what is new: what retrieves, and the heads."""

from functools import partial

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.als import AlsConfig, AlsFactors, fit_als
from candidate_gen.ease import EaseConfig, fit_ease
from candidate_gen.interactions import Interactions
from candidate_gen.item_to_item import Neighbours, neighbours_of
from candidate_gen.tower_config import TowerConfig
from candidate_gen.train_towers import EpochRecord
from core.arrays import Array
from core.errors import NothingNew
from core.video_table import VideoTable
from features.dataset import Rows
from ranking.continuation import continued
from ranking.head_config import HeadConfig
from ranking.ranker import Ranker
from training.config import TrainConfig
from training.cross import CrossFeatures
from training.incremental_towers import CannotContinue, continued_towers
from training.progress import Progress
from training.ranking_fit import RankingFit, codes_of, ranker_matrix
from training.retrieval import Retrieval
from training.split import Split


class IncrementalConfig(BaseModel):
    """How a bundle is continued, beside what the training configuration says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rows: int = Field(1_500, ge=1, description="fewest new impressions with a watch")
    most: int = Field(14, ge=0, description="increments after which a full training is due")
    valid_share: float = Field(0.4, gt=0, lt=1, description="newest share of the new rows, that stops and calibrates")
    replay_ms: int = Field(2 * 86_400_000, ge=0, description="watches older than the new ones that towers see again")
    epochs: int = Field(1, ge=1, description="passes of the towers")
    rate_share: float = Field(0.5, gt=0, le=1, description="of the towers' learning rate")
    rounds: int = Field(30, ge=1, description="new trees of a head at most")
    patience: int = Field(8, ge=1, description="new trees without a better metric")
    als_rounds: int = Field(3, ge=1, description="rounds of ALS from the factors that there are")
    ease_videos: int = Field(1_500, ge=0, description="most watched videos for which EASE is solved anew")


def continue_retrieval(
    before: Retrieval,
    watches: Interactions,
    table: VideoTable,
    split: Split,
    config: TrainConfig,
    own: IncrementalConfig,
    progress: Progress,
) -> Retrieval:
    """What retrieves, from all watches before the split's end: towers go on over the newest, the rest is cheap."""
    step, until_ms = "two towers, continued", split.test_from_ms
    progress(step, 0, 3)
    past = watches.before(until_ms).of_some(config.max_linear_watches, config.seed)
    neighbours = neighbours_of(past, len(table), config.item_to_item)
    als = continue_als(before.als, past, len(table), config.als.model_copy(update={"seed": config.seed}), own)
    linear = continue_ease(before.linear, past, len(table), config.ease, own)
    progress(step, 1, 3)
    from_ms = split.heads_from_ms - own.replay_ms
    towers, losses = continued_towers(
        before.towers, watches, table, _gently(config.towers, config.seed, own), from_ms, until_ms
    )
    progress(step, 2, 3)
    affinity, _ = continued_towers(
        before.affinity, watches, table, _gently(config.affinity, config.seed, own), from_ms, until_ms
    )
    progress(step, 3, 3)
    curve = tuple(EpochRecord(at + 1, loss, float("nan")) for at, loss in enumerate(losses))
    return Retrieval(towers, affinity, neighbours, als, linear, curve, before.lengths)


def continue_als(
    before: AlsFactors, watches: Interactions, videos: int, config: AlsConfig, own: IncrementalConfig
) -> AlsFactors:
    """The factors after a few rounds from those before; from random ones where their width changed."""
    if before.videos.shape[1] != config.factors:
        return fit_als(watches, videos, config)
    fitted = fit_als(watches, videos, config.model_copy(update={"rounds": own.als_rounds}), before.videos)
    return AlsFactors(fitted.videos, fitted.gram, config)


def continue_ease(
    before: Neighbours, watches: Interactions, videos: int, config: EaseConfig, own: IncrementalConfig
) -> Neighbours:
    """EASE solved anew where few videos were watched; its cost grows with their third power, and else it stays."""
    watched = min(len(np.unique(watches.video)), config.videos)
    return fit_ease(watches, videos, config) if watched <= own.ease_videos else before


def continue_heads(
    rows: Rows,
    split: Split,
    cross: CrossFeatures,
    records: Array,
    ranker: Ranker,
    config: TrainConfig,
    own: IncrementalConfig,
    progress: Progress,
    weights: Array | None = None,
) -> RankingFit:
    """More trees for every head from the new rows, stopped and calibrated on the newest of them; `weights` [rows] weigh
    the first part."""
    train, valid = parts_of(rows, split)
    heads = {head.name: _few_rounds(head, own) for head in config.heads_for(len(train))}
    foreign = set(ranker.heads) - set(heads)
    if foreign:
        raise CannotContinue(f"it has heads that this build does not train ({', '.join(sorted(foreign))})")
    matrix = partial(ranker_matrix, rows, cross=cross, records=records)
    codes = codes_of(matrix, train, ranker.bins), codes_of(matrix, valid, ranker.bins)
    train_labels, valid_labels = ({name: label[part] for name, label in rows.labels.items()} for part in (train, valid))
    names = list(heads)

    def report(head: str, iteration: int, rounds: int, metric: float | None) -> None:
        progress("ranking heads", 100 * names.index(head) + 100 * iteration // rounds, 100 * len(names))

    given = (train_labels, valid_labels), tuple(heads.values()), config.threads, report
    grown, trained = continued(ranker, codes, *given, None if weights is None else weights[train])
    progress("ranking heads", 100 * len(names), 100 * len(names))
    return RankingFit(grown, trained, train, valid)


def parts_of(rows: Rows, split: Split) -> tuple[Array, Array]:
    """The watched rows that train, and the newest ones that stop and calibrate; NothingNew where there are none."""
    watched, time_ms = ~np.isnan(rows.labels["long_view"]), rows.time_ms
    train = rows.select(watched & (time_ms >= split.heads_from_ms) & (time_ms < split.valid_from_ms))
    valid = rows.select(watched & (time_ms >= split.valid_from_ms) & (time_ms < split.test_from_ms))
    if not len(train) or not len(valid):
        raise NothingNew("There is nothing new to learn from: no watch of the newest impressions was reported.")
    return train, valid


def _few_rounds(head: HeadConfig, own: IncrementalConfig) -> HeadConfig:
    changes = {"rounds": own.rounds, "early_stopping_rounds": own.patience, "members": 1}
    return head.model_copy(update=changes)


def _gently(config: TowerConfig, seed: int, own: IncrementalConfig) -> TowerConfig:
    rate = config.learning_rate * own.rate_share
    return config.model_copy(update={"seed": seed, "epochs": own.epochs, "learning_rate": rate})
