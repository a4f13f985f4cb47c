"""Three brokers and the platform's profile: each record on three of them, one of which is lost."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from core.errors import ForyouError, Unavailable
from core.log import Consumer, Message, MessageLog
from core.settings import Settings
from core.topics import NOTIFICATION_TRIGGER, TOPICS
from deploy.kafka_cluster import KafkaCluster
from tests.contracts.message_log import MANY, member
from tests.integration import servers
from tests.integration.kafka_topics import topic


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[KafkaCluster]:
    """Three brokers that have not started."""
    cluster = KafkaCluster(tmp_path / "brokers")
    yield cluster
    cluster.remove()


@pytest.mark.slow
def test_the_loss_of_one_of_three_brokers_loses_nothing_and_appends_go_on(cluster: KafkaCluster) -> None:
    try:
        settings = Settings(kafka=cluster.up(), kafka_profile="spec")
    except ForyouError as error:
        servers.give_up(error.sentence)

    async def body() -> None:
        await ensure_topics(settings, [TOPICS[NOTIFICATION_TRIGGER], topic(MANY, 6)])
        log = await KafkaMessageLog.open(settings)
        assert len(await log.bounds(NOTIFICATION_TRIGGER)) == 50
        async with member(log, "g", MANY) as consumer:
            await asyncio.wait_for(through_a_loss(cluster, Traffic(log, consumer)), 120)
        await log.close()

    asyncio.run(body())


class Traffic:
    """One that writes and one that reads, until told otherwise."""

    def __init__(self, log: MessageLog, consumer: Consumer) -> None:
        self.log, self.consumer = log, consumer
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        self.read: dict[tuple[int, int], bytes] = {}
        self.ending = self.written = False

    async def write(self) -> None:
        """Small batches for every partition."""
        number = 0
        while not self.ending:
            number += 1
            batch = [Message("k", b"%d %d" % (number, each), each) for each in range(6)]
            try:
                places = await self.log.append(MANY, batch)
            except Unavailable:
                continue
            self.acknowledged |= {(p.partition, p.offset): m.value for p, m in zip(places, batch, strict=True)}
            await asyncio.sleep(0.01)

    async def follow(self) -> None:
        """Everything, once."""
        while not self.written or not self.acknowledged.keys() <= self.read.keys():
            try:
                entries = await self.consumer.poll(500, 100)
            except Unavailable:
                continue
            for entry in entries:
                assert (entry.partition, entry.offset) not in self.read
                self.read[(entry.partition, entry.offset)] = entry.value


async def through_a_loss(cluster: KafkaCluster, traffic: Traffic) -> None:
    tasks = [asyncio.create_task(traffic.write()), asyncio.create_task(traffic.follow())]
    await reaches(traffic, 300)
    await asyncio.to_thread(cluster.nodes[0].kill)
    # Its partitions find new leaders when its session has ended (9 s); the others never stop.
    await reaches(traffic, len(traffic.acknowledged) + 1_000)
    traffic.ending = True
    await tasks[0]  # its last append may be under way
    traffic.written = True
    await tasks[1]
    assert {place: traffic.read[place] for place in traffic.acknowledged} == traffic.acknowledged


async def reaches(traffic: Traffic, count: int) -> None:
    """Wait for so many acknowledged messages."""
    while len(traffic.acknowledged) < count:
        await asyncio.sleep(0.1)
