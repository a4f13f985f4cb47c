"""How a bundle is trained: the split in time, the towers, the heads."""

from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.item_to_item import ItemToItemConfig
from candidate_gen.tower_config import TowerConfig
from ranking.heads import HeadConfig
from ranking.value_model import DEFAULT_WEIGHTS

_BINARY = ("long_view", "click", "skip", "like", "comment", "share", "follow", "negative")


def default_heads(rounds: int, seed: int) -> tuple[HeadConfig, ...]:
    """The heads of every action, the mean watch ratio and the median watch time."""
    shared = {
        "rounds": rounds,
        "seed": seed,
        "leaves": 31,
        "learning_rate": 0.08,
        "min_rows_in_leaf": 60,
        "feature_share": 0.5,
    }
    heads = [HeadConfig(name=name, **shared) for name in _BINARY]
    heads.append(HeadConfig(name="watch_ratio", objective="mean", **shared))
    heads.append(HeadConfig(name="watch_time", objective="median", **shared))
    return tuple(heads)


def affinity_towers() -> TowerConfig:
    """Towers for ranking: every watch is an example, and its outcome is predicted."""
    return TowerConfig(
        loss="pointwise", epochs=3, negatives=0, holdout_ms=0, signal_weights=(1, 1, 1, 1, 1, 1, 1), learning_rate=3e-3
    )


class TrainConfig(BaseModel):
    """Everything that `foryou train` may vary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="seed of every random choice")
    threads: int = Field(2, ge=1, description="threads for LightGBM and torch")
    utc_offset_h: float = Field(0.0, description="hours by which the log's days are ahead of UTC")
    tower_share: float = Field(0.45, gt=0, lt=1, description="share of the impressions before the heads' window")
    valid_share: float = Field(0.12, gt=0, lt=1, description="share of the impressions that stop and calibrate")
    max_head_rows: int = Field(500_000, ge=1, description="most rows that heads are trained on; a sample beyond")
    rounds: int = Field(200, ge=1, description="trees of a head at most")
    refit_towers: bool = Field(True, description="train the served towers again on everything before the test")
    towers: TowerConfig = Field(default_factory=TowerConfig)
    affinity: TowerConfig = Field(default_factory=affinity_towers)
    item_to_item: ItemToItemConfig = Field(default_factory=ItemToItemConfig)
    value_weights: dict[str, float] = Field(default_factory=lambda: dict(DEFAULT_WEIGHTS))

    @property
    def heads(self) -> tuple[HeadConfig, ...]:
        """The heads to train."""
        return default_heads(self.rounds, self.seed)
