"""Random histories of Following over inboxes and a ledger on one Redis and on a cluster of three."""

import asyncio

import pytest

from backends.redis.bitmaps import RedisBitmaps
from backends.redis.inboxes import RedisInboxes
from backends.redis.ledger import RedisLedger
from tests.feeds.fanout_world import Jittered, World
from tests.feeds.test_fanout import history
from tests.integration import servers
from tests.integration.test_redis import a_cluster, one_redis


@pytest.mark.parametrize("connected", [one_redis, a_cluster])
def test_pages_equal_the_oracle_on_servers(tmp_path, connected):
    world = World(tmp_path, 7)

    async def lived():
        nodes = connected(servers.unique("fanout") + ":")
        try:
            world.inboxes = Jittered(RedisInboxes(nodes), world.rng)
            world.ledger = Jittered(RedisLedger(nodes, world.name), world.rng)
            world.bitmaps = RedisBitmaps(nodes)
            world.new_ledger = lambda: nodes.delete([f"fanout:{{fanout}}:{key}" for key in ("epoch", "begun", "tiers")])
            world.start_again()
            await history(world, 8)
        finally:
            await nodes.delete(await nodes.keys(""))
            await nodes.close()

    asyncio.run(lived())
    assert {"inbox", "mixed"} <= set(world.ways)
