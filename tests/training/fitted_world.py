"""A small world with its log, fitted once and quickly, for tests of what happens to a fit."""

import asyncio

from candidate_gen.tower_config import TowerConfig
from features.layout import DAY_MS
from foryou.catch_up import catch_up
from foryou.importers.report import ImportStores
from foryou.importers.world import import_world
from foryou.stores import open_stores
from simulation.law import EPOCH_MS
from simulation.log_files import write_history
from simulation.world import World
from training.bundle_writer import write_bundle
from training.config import TrainConfig
from training.log_data import load_log
from training.pipeline import fit

VIEWERS, VIDEOS, IMPRESSIONS, DAYS = 150, 600, 8_000, 6
NOW_MS = EPOCH_MS + DAYS * DAY_MS + 3_600_000
CONFIG = TrainConfig(threads=1, rounds=15, refit_towers=False, towers=TowerConfig(epochs=1))


def logged_world(home):
    """The content of the log of a home, which is made."""
    write_history(World.build(0, VIEWERS, VIDEOS, days=DAYS), home / "world", IMPRESSIONS)

    async def loaded():
        stores = open_stores(home, durable=False)
        try:
            await import_world(home / "world", ImportStores(stores.log, stores.tables, home, lambda: NOW_MS))
            await catch_up(stores)
            return await load_log(stores.log, stores.videos, stores.tables)
        finally:
            stores.close()

    return asyncio.run(loaded())


def fitted_world(home):
    """(the log's content, what was fitted on it)."""
    data = logged_world(home)
    return data, fit(data, CONFIG, home / "scratch")


def written(bundles, data, fitted, beside=None, now_ms=NOW_MS):
    """The fit as a bundle of these bundles."""
    return write_bundle(bundles, data, fitted, CONFIG, now_ms, beside or {})
