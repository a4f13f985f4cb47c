"""The role `trending`, published on one Redis and on a cluster of three."""

from backends.redis.bytes import RedisBytes
from core.ports import Bytes
from tests.contracts.trending import TrendingContract
from tests.integration.test_redis import OnACluster, OnOneRedis


class TestTrendingOnRedis(OnOneRedis, TrendingContract):
    async def open_cache(self) -> Bytes:
        return RedisBytes(self.connect())


class TestTrendingOnACluster(OnACluster, TestTrendingOnRedis):
    pass
