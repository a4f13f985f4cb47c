"""Parts of the product that are judged beside the whole: what each of them is worth in a world."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from core.batch import CandidateBatch
from core.query import Query
from core.stages import Selection, Surface
from feeds.config import ForYouConfig
from feeds.given import filters_and
from feeds.stages import CatalogueHydrator, TowerHydrator

Shape = Callable[[Surface], Surface]

TWO_TOWER: Final = "two_tower"


def as_it_is(surface: Surface) -> Surface:
    """The whole surface."""
    return surface


@dataclass(frozen=True, slots=True)
class Arm:
    """A product of which something is left out: other parameters, or a part of its surface."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    shape: Shape = as_it_is

    def config(self, whole: ForYouConfig | None) -> ForYouConfig:
        """The whole product's parameters with this arm's in their place."""
        return (whole or ForYouConfig()).model_copy(update=dict(self.parameters))


def two_tower_alone(surface: Surface) -> Surface:
    """The index of the two towers, the filters, and the order of their inner products."""
    steps = filters_and(surface, CatalogueHydrator, TowerHydrator)
    sources = tuple(source for source in surface.sources if source.name == TWO_TOWER)
    return Surface(surface.name, sources, (*steps, TowerSelector()))


class TowerSelector:
    """The first by the towers' score."""

    name = "tower_order"

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= limit] by falling score"""
        return Selection(np.argsort(-batch["tower"], kind="stable")[: query.limit].astype(np.int32))


_NO_PRICES: Final = {"author_cap": 1_000, "author_weight": 0.0, "topic_weight": 0.0, "similarity_weight": 0.0}
_NOTHING_DRAWN: Final = {"exploration_every": 0, "random_share": 0.0}

ARMS: Final[Mapping[str, Arm]] = {
    TWO_TOWER: Arm(_NOTHING_DRAWN, two_tower_alone),
    "no_diversity": Arm(_NO_PRICES),
    "nothing_drawn": Arm(_NOTHING_DRAWN),
    "no_exploration": Arm({**_NOTHING_DRAWN, "exploration_weight": 0.0}),
}
