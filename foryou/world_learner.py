"""The product of a simulated world learns on at midnight, as the schedule does, and serves what passed the gates."""

from dataclasses import dataclass

from core.errors import NothingNew
from foryou.bootstrap import Product, open_product
from training.config import TrainConfig
from training.gates import GateRefused
from training.incremental import increment
from training.incremental_fit import IncrementalConfig
from training.log_data import load_log
from training.parent import parent_of
from training.publication import Publication

UNRECORDED = Publication(recorded=False)


@dataclass(slots=True)
class Learner:
    """Trains increments with one configuration, in the first `nights` (None: in all); `served` counts those that
    replaced the champion."""

    config: TrainConfig
    increments: IncrementalConfig | None = None
    how: Publication = UNRECORDED
    nights: int | None = None
    served: int = 0

    async def after_day(self, product: Product, day: int, now_ms: int) -> Product:
        """The product with the bundle that learned from the day; as it was where there is none, or the gates refused
        it, and after the nights that are learned in."""
        if self.nights is not None and day >= self.nights:
            return product
        await product.settled()
        settings, stores = product.settings, product.stores
        parent = parent_of(settings.bundles)
        data = await load_log(stores.log, stores.videos, stores.tables, parent.words)
        try:
            increment(data, parent, self.config, settings.home, now_ms, how=self.how, increments=self.increments)
        except (NothingNew, GateRefused):
            return product
        self.served += 1
        await stores.features.write(data.driver.packed(now_ms * 1000), data.applied_offset)
        return await open_product(settings, product.clock, product.config, product.new_id, stores)
