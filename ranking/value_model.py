"""One number for each candidate: the weighted sum of the heads' predictions."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from core.arrays import Float64
from core.errors import InputError

Predictions = Mapping[str, Float64]
"""Calibrated predictions by head, each [candidates] float64."""

# To a viewer a like is worth 2, a share or a follow 4, where a whole watch is worth 1. These weights are what a unit of
# prediction was worth among the candidates of a judged world: the highest predictions of rare actions are high by
# chance in part, the rarer the more, and whoever takes the best of a thousand takes those.
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "watch_ratio": 1.0,
        "like": 1.0,
        "share": 1.2,
        "follow": 0.5,
        "negative": -6.0,
        "long_view": 0.0,
        "click": 0.0,
        "skip": 0.0,
        "comment": 0.0,
        "watch_time": 0.0,
        "watch_mean": 0.0,
        "watch_rank": 0.0,
        "watch_standing": 0.0,
    }
)
KNOWN_HEADS = tuple(DEFAULT_WEIGHTS)


class ValueModelConfig(BaseModel):
    """The weights by head; a head that is not named weighs nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, FiniteFloat] = Field(
        default_factory=lambda: dict(DEFAULT_WEIGHTS),
        description="Value of one unit of the head's prediction (probability 1, ratio 1, 1 s, log 1 s).",
    )


class ValueModel:
    """value = sum over heads of weight x prediction."""

    def __init__(self, config: ValueModelConfig | None = None) -> None:
        self.config = config or ValueModelConfig()
        misspelt = sorted(set(self.config.weights) - set(KNOWN_HEADS))
        if misspelt:
            raise InputError(f"No head is called {', '.join(misspelt)}; the known heads are {', '.join(KNOWN_HEADS)}.")

    def with_weights(self, changed: Mapping[str, float]) -> "ValueModel":
        """The same model with some weights replaced, as an experiment does.

        Raises InputError for an unknown head or a weight that is not finite.
        """
        bad = sorted(head for head, weight in changed.items() if not np.isfinite(weight))
        if bad:
            raise InputError(f"The weight of {', '.join(bad)} is not a finite number.")
        return ValueModel(ValueModelConfig(weights={**self.config.weights, **changed}))

    def missing(self, predictions: Predictions) -> tuple[str, ...]:
        """Heads that have a weight and no prediction, and so contribute 0."""
        return tuple(h for h, w in self.config.weights.items() if w and h not in predictions)

    def terms(self, predictions: Predictions) -> dict[str, Float64]:
        """weight x prediction, [candidates] float64, of each predicted head that has a weight."""
        return {
            head: weight * np.asarray(predictions[head], np.float64)
            for head, weight in self.config.weights.items()
            if weight and head in predictions
        }

    def value(self, predictions: Predictions) -> Float64:
        """The value of each candidate, [candidates] float64; InputError without predictions."""
        if not predictions:
            raise InputError("A value needs the predictions of at least one head.")
        total = np.zeros(np.shape(next(iter(predictions.values()))), np.float64)
        for term in self.terms(predictions).values():
            total += term
        return total
