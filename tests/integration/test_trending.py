"""The role `trending`, published on one Redis and on a cluster of three, and reading from Kafka."""

import asyncio
from pathlib import Path

from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from backends.redis.bytes import RedisBytes
from core.ports import Bytes
from core.topics import USER_INTERACTION
from tests.contracts.trending import PARTITIONS, Town, TrendingContract
from tests.integration import servers
from tests.integration.kafka_topics import settings_for, topic
from tests.integration.test_redis import OnACluster, OnOneRedis, one_redis


class TestTrendingOnRedis(OnOneRedis, TrendingContract):
    async def open_cache(self) -> Bytes:
        return RedisBytes(self.connect())


class TestTrendingOnACluster(OnACluster, TestTrendingOnRedis):
    pass


def test_two_workers_on_kafka_and_redis_publish_what_a_recount_says(tmp_path: Path) -> None:
    settings, nodes = settings_for(servers.require("kafka", "redis").kafka), one_redis(servers.unique("trending") + ":")

    async def body() -> None:
        await ensure_topics(settings, [topic(USER_INTERACTION, PARTITIONS)])
        log = await KafkaMessageLog.open(settings)
        try:
            town = Town(tmp_path, RedisBytes(nodes), 31, log)
            await town.tell()
            await town.until_due(town.worker("a"), town.worker("b"))
        finally:
            await log.close()
            await nodes.delete(await nodes.keys(""))
            await nodes.close()

    asyncio.run(body())
