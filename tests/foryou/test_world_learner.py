"""A simulated product learns on at midnight: it serves the increment where there is one, and goes on where there is
none."""

import asyncio

from candidate_gen.tower_config import TowerConfig
from core.settings import Settings
from features.layout import DAY_MS
from foryou.bootstrap import open_product
from foryou.stores import open_stores
from foryou.world_learner import Learner
from foryou.world_policy import ProductPolicy, WorldClock
from simulation.law import EPOCH_MS
from tests.foryou.test_incremental_training import aged, champion
from training.config import TrainConfig
from training.publication import Publication


def test_the_policy_serves_what_its_learner_learned_and_goes_on_where_nothing_is_new(home):
    parent, clock = champion(home), WorldClock(EPOCH_MS + 6 * DAY_MS)
    aged(home, 2 * DAY_MS)
    config = TrainConfig(threads=1, rounds=5, towers=TowerConfig(epochs=1))
    learner = Learner(config, how=Publication(recorded=False, force=True), nights=2)
    stores, loop = open_stores(home, durable=False), asyncio.new_event_loop()
    try:
        product = loop.run_until_complete(
            open_product(Settings(home=home, request_deadline_ms=30_000), clock, stores=stores)
        )
        policy = ProductPolicy(product, clock, loop, learner)
        policy.end_of_day(0)
        assert learner.served == 1 and champion(home) != parent
        assert len(policy.page("u1", clock.now_ms, 10)) == 10
        policy.end_of_day(1)
        assert learner.served == 1, "nobody watched anything on the second day"
        aged(home, 2 * DAY_MS)
        policy.end_of_day(2)
        assert learner.served == 1, "the third night is none of the two that it learns in"
    finally:
        stores.close()
        loop.close()
