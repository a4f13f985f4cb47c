"""A cluster's slates and intake on a Redis that stands still and a Kafka that is killed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.kafka.config import KafkaConfig
from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from backends.redis.bytes import RedisBytes
from backends.redis.nodes import Nodes
from backends.redis.ranked import RedisRanked
from core.topics import SLATES, TOPICS, USER_INTERACTION, VIDEO_PROCESSED
from deploy.stack import Stack
from tests.contracts.cluster_slates import ClusterSlatesContract
from tests.integration import servers
from tests.integration.kafka_topics import settings_for


@pytest.fixture(scope="module", autouse=True)
def _stack() -> Iterator[None]:
    """These tests break them."""
    with servers.stack_to_break("kafka", "redis") as stack:
        TestOnRealServers.stack = stack
        yield


@pytest.mark.slow
class TestOnRealServers(ClusterSlatesContract):
    stack: Stack

    async def open_shared(self, folder: Path) -> None:
        if not self.stack.node("kafka").pid():
            await self.start_log()
        settings = settings_for(self.stack.addresses().kafka)
        await ensure_topics(settings, [TOPICS[name] for name in (SLATES, USER_INTERACTION, VIDEO_PROCESSED)])
        quick = {"append_ms": 2_000, "answer_ms": 1_500}  # the product waits longer
        self.log = await KafkaMessageLog.open(settings, KafkaConfig.of(settings).model_copy(update=quick))
        self.nodes = Nodes(self.stack.addresses().redis, prefix=servers.unique("slates") + ":")
        self.cache, self.ranked = RedisBytes(self.nodes), RedisRanked(self.nodes)

    async def hang_cache(self) -> None:
        self.stack.suspend("redis")

    async def resume_cache(self) -> None:
        self.stack.resume("redis")

    async def stop_cache(self) -> None:
        await asyncio.to_thread(self.stack.kill, "redis")

    async def start_cache(self) -> None:
        await asyncio.to_thread(self.stack.start, "redis")

    async def stop_log(self) -> None:
        await asyncio.to_thread(self.stack.kill, "kafka")

    async def start_log(self) -> None:
        await asyncio.to_thread(self.stack.start, "kafka")

    async def close(self) -> None:
        await self.log.close()
        await self.nodes.close()
