"""How towers are fitted: in this process or on Ray's workers, each going on from where a killed run left it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from candidate_gen.als import AlsFactors, fit_als
from candidate_gen.checkpoints import Checkpoints
from candidate_gen.interactions import Interactions
from candidate_gen.peers import Peers
from candidate_gen.tower_config import TowerConfig
from candidate_gen.train_towers import Start, TrainedTowers, train_towers
from candidate_gen.trainer import ALONE
from core.arrays import Float32
from core.video_table import VideoTable
from training.config import TrainConfig

UNKEPT = Checkpoints()


@dataclass(frozen=True, slots=True)
class TowerTask:
    """One fit of towers before `until_ms`: plain values, which another process can be given."""

    table: VideoTable
    towers: TowerConfig
    config: TrainConfig
    until_ms: int
    from_als: bool = False

    def fit(
        self,
        watches: Interactions,
        checkpoints: Checkpoints,
        known: tuple[Interactions, AlsFactors] | None = None,
        peers: Peers = ALONE,
    ) -> TrainedTowers:
        """The towers; `known` are ALS factors that need not be fitted again."""
        words = tuple(() for _ in watches.profile_sizes)
        start: Start | None = None
        if self.from_als:
            start = partial(start_vectors, videos=len(self.table), config=self.config, known=known)
        return train_towers(watches, self.table, self.towers, 0, self.until_ms, words, start, checkpoints, peers)


@dataclass(frozen=True, slots=True)
class TowerFits:
    """The fits of one run, on the configured number of workers; `scratch` is a folder that all of them see."""

    checkpoints: Checkpoints = UNKEPT
    scratch: Path | None = None

    def fit(
        self, task: TowerTask, watches: Interactions, known: tuple[Interactions, AlsFactors] | None = None
    ) -> TrainedTowers:
        """One fit."""
        if task.config.workers == 1 or self.scratch is None:
            return task.fit(watches, self.checkpoints, known)
        from training.ray_towers import fit_on_ray

        return fit_on_ray(task, watches, self.checkpoints, self.scratch)


def start_vectors(
    watches: Interactions, videos: int, config: TrainConfig, known: tuple[Interactions, AlsFactors] | None = None
) -> Float32:
    """The factors of these watches; `known` are those of more of them, used where they are as many."""
    watches = watches.of_some(config.max_linear_watches, config.seed)
    if known is not None and len(watches) == len(known[0]):
        return known[1].videos
    return fit_als(watches, videos, config.als.model_copy(update={"seed": config.seed})).videos
