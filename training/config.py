"""How a bundle is trained: the split in time, the towers, the heads."""

from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.als import AlsConfig
from candidate_gen.ease import EaseConfig
from candidate_gen.item_to_item import ItemToItemConfig
from candidate_gen.tower_config import TowerConfig
from ranking.head_config import HeadConfig
from ranking.trees import MAX_LEAVES
from ranking.value_model import DEFAULT_WEIGHTS
from training.default_heads import default_heads


def affinity_towers() -> TowerConfig:
    """Towers for ranking: every watch is an example, and its outcome is predicted. Narrow, since each video has few
    watches, and with half of the ids hidden, so that content and author carry what they can."""
    return TowerConfig(
        loss="pointwise", epochs=3, negatives=0, holdout_ms=0, signal_weights=(1, 1, 1, 1, 1, 1, 1),
        learning_rate=3e-3, dim=16, inputs=32, hidden=32, weight_decay=0.3, id_dropout=0.5,
        normalise=False, temperature=1.0,
    )  # fmt: skip


class TrainConfig(BaseModel):
    """Everything that `foryou train` may vary."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, ge=0, description="seed of every random choice")
    threads: int = Field(2, ge=1, description="threads for LightGBM and torch")
    workers: int = Field(1, ge=1, description="processes that train the towers together, on Ray where above 1")
    utc_offset_h: float = Field(0.0, description="hours by which the log's days are ahead of UTC")
    tower_share: float = Field(0.22, gt=0, lt=1, description="share of the impressions before the heads' window")
    valid_share: float = Field(0.12, gt=0, lt=1, description="share of the impressions that stop and calibrate")
    max_head_rows: int = Field(500_000, ge=1, description="most rows that heads are trained on; a sample beyond")
    max_valid_rows: int = Field(1_000_000, ge=1, description="most rows that stop and calibrate; a sample beyond")
    max_linear_watches: int = Field(
        30_000_000, ge=1, description="most watches of ALS, EASE and neighbours; those of a sample of viewers beyond"
    )
    min_logged_rows: int = Field(20_000, ge=1, description="fewest joined rows on which heads are fitted")
    rounds: int = Field(400, ge=1, description="trees of a model at most")
    members: int = Field(2, ge=1, description="models of a head, whose scores are averaged")
    feature_share: float = Field(0.3, gt=0, le=1, description="share of the features that a tree may use")
    head_leaves: float = Field(1.0, gt=0, description="the heads' leaves, over those that they have by default")
    head_learning_rate: float = Field(1.0, gt=0, description="the heads' learning rates, over their defaults")
    head_min_rows: float = Field(1.0, gt=0, description="the heads' fewest rows in a leaf, over their defaults")
    refit_towers: bool = Field(True, description="train the served towers again on everything before the test")
    towers: TowerConfig = Field(default_factory=TowerConfig)
    affinity: TowerConfig = Field(default_factory=affinity_towers)
    item_to_item: ItemToItemConfig = Field(default_factory=ItemToItemConfig)
    start_from_als: bool = Field(True, description="let the retrieval towers' ids begin at the ALS factors")
    als: AlsConfig = Field(default_factory=AlsConfig)
    ease: EaseConfig = Field(default_factory=EaseConfig)
    value_weights: dict[str, float] = Field(default_factory=lambda: dict(DEFAULT_WEIGHTS))

    @property
    def heads(self) -> tuple[HeadConfig, ...]:
        """The heads to train on as many rows as there may be."""
        return self.heads_for(self.max_head_rows)

    def heads_for(self, rows: int) -> tuple[HeadConfig, ...]:
        """The heads to train on this many rows."""
        heads = default_heads(self.rounds, self.seed, self.feature_share, self.members, rows)
        return tuple(head.model_copy(update=self._changes(head)) for head in heads)

    def _changes(self, head: HeadConfig) -> dict[str, float]:
        return {
            "leaves": min(MAX_LEAVES, max(2, round(head.leaves * self.head_leaves))),
            "learning_rate": min(1.0, head.learning_rate * self.head_learning_rate),
            "min_rows_in_leaf": max(1, round(head.min_rows_in_leaf * self.head_min_rows)),
        }
