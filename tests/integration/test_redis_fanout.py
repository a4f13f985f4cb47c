"""Inboxes and the ledger of fan-out on one Redis and on a cluster of three."""

import itertools

from backends.redis.inboxes import RedisInboxes
from backends.redis.ledger import RedisLedger
from backends.redis.nodes import Nodes
from core.fanout import FanoutLedger, Inboxes
from tests.contracts.fanout import InboxesContract, LedgerContract
from tests.integration.test_redis import OnOneRedis, a_cluster


class TestRedisInboxes(OnOneRedis, InboxesContract):
    async def open_inboxes(self) -> Inboxes:
        return RedisInboxes(self.connect())


class TestRedisLedger(OnOneRedis, LedgerContract):
    async def open_ledger(self) -> FanoutLedger:
        numbers = itertools.count(1)
        return RedisLedger(self.connect(), lambda: f"epoch{next(numbers)}")


class TestInboxesOnACluster(TestRedisInboxes):
    def connected(self, prefix: str) -> Nodes:
        return a_cluster(prefix)


class TestLedgerOnACluster(TestRedisLedger):
    def connected(self, prefix: str) -> Nodes:
        return a_cluster(prefix)
