"""What a head predicts and how it is trained."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Float64
from ranking.calibration import Method
from ranking.trees import MAX_LEAVES

Objective = Literal["binary", "mean", "median", "tweedie"]


class HeadConfig(BaseModel):
    """What a head predicts and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="The head's name in predictions and weights.")
    objective: Objective = Field(
        default="binary",
        description="A probability, or mean or median of an amount; tweedie: a mean of rare and large amounts.",
    )
    label: str = Field(default="", description="The label column; empty: the head's own name.")
    scale: Literal["amount", "log", "standing"] = Field(
        default="amount",
        description="log: the target is log(1 + label); standing: the label is a share of watches below.",
    )
    clip_quantile: float = Field(
        default=1.0, gt=0, le=1, description="Labels above this quantile of the training labels count as it."
    )
    leaves: int = Field(default=31, ge=2, le=MAX_LEAVES, description="Leaves of a tree at most.")
    learning_rate: float = Field(default=0.1, gt=0, le=1, description="Shrinkage of each tree.")
    rounds: int = Field(default=300, ge=1, description="Trees at most.")
    early_stopping_rounds: int = Field(default=20, ge=0, description="Trees without a better metric; 0: never stop.")
    min_rows_in_leaf: int = Field(default=50, ge=1, description="Training rows of a leaf at least.")
    feature_share: float = Field(default=1.0, gt=0, le=1, description="Share of the features that a tree may use.")
    row_share: float = Field(default=1.0, gt=0, le=1, description="Share of the rows that a tree sees.")
    members: int = Field(default=1, ge=1, description="Models with seeds of their own, whose scores are averaged.")
    min_positives: int = Field(default=100, ge=0, description="Training labels above 0; fewer skip the head.")
    monotone: Mapping[str, Literal[-1, 1]] = Field(
        default_factory=dict,
        description="Features that may only raise (1) or lower (-1) it; NaN counts as lowest.",
    )
    calibration: Method | None = Field(
        default=None, description="None: by objective (platt, linear, identity, exponential)."
    )
    seed: int = Field(default=0, ge=0, description="Seed of LightGBM's random choices.")

    @property
    def column(self) -> str:
        """The label column that the head reads."""
        return self.label or self.name

    @property
    def orders(self) -> bool:
        """Whether it is for an order of videos and not for an amount."""
        return self.scale != "amount"

    def bound(self, observed: Array) -> float:
        """The largest label that counts, from the observed training labels [n]."""
        return float(np.quantile(observed, self.clip_quantile)) if self.clip_quantile < 1 else float("inf")

    def target(self, label: Array, bound: float = float("inf")) -> Float64:
        """What LightGBM learns of labels [n]: clipped, then on the head's scale."""
        clipped = np.minimum(np.asarray(label, np.float64), bound)
        return np.log1p(clipped) if self.scale == "log" else clipped
