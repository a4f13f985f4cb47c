"""The archive over a real Kafka: members come and go, the broker forgets, and every message is read once, in order."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from backends.blob_folder import FolderBlobStore
from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from core.errors import CorruptData
from core.events import encode
from core.log import Message
from core.settings import Settings
from core.topics import TOPICS, USER_INTERACTION
from features.archive.events import ArchivedEvents
from features.archive.pieces import ArchiveConfig
from features.archive.reader import ArchivedLog
from features.archive.shredded import shred
from features.archive.writer import Archiver
from tests.contracts.events import like
from tests.integration import servers
from tests.integration.kafka_topics import settings_for

SMALL = ArchiveConfig(most_object_rows=150, most_bytes=200_000, poll_limit=100, poll_wait_ms=200)
TOPIC = USER_INTERACTION


@pytest.fixture
def settings() -> Settings:
    return settings_for(servers.require("kafka").kafka)


async def forget(settings, partition, until):
    """As the retention would: the offsets up to `until`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(settings.kafka_prefix + TOPIC, partition): RecordsToDelete(until)})
    await admin.close()


async def everything(archived):
    found = []
    for partition, _ in enumerate(await archived.bounds()):
        after = 0
        while entries := await archived.read(partition, after, 77):
            found += entries
            after = entries[-1].offset
    return found


def test_members_come_and_go_the_broker_forgets_and_nothing_is_lost(settings: Settings, tmp_path: Path) -> None:
    async def send(log, start, count):
        events = [like(n, f"u{n % 40}") for n in range(start, start + count)]
        await log.append(TOPIC, [Message(e.viewer_id, encode(e)) for e in events])

    async def body() -> None:
        await ensure_topics(settings, [TOPICS[TOPIC]])
        log, blobs, said = await KafkaMessageLog.open(settings), FolderBlobStore(tmp_path), []
        first, second = (Archiver(log, blobs, config=SMALL, topics=(TOPIC,), tell=said.append) for _ in range(2))
        await send(log, 0, 1_000)
        tasks = [asyncio.create_task(first.run())]
        await asyncio.sleep(4)
        tasks.append(asyncio.create_task(second.run()))  # a rebalance in the middle
        for start in range(1_000, 3_000, 200):
            await send(log, start, 200)
            await asyncio.sleep(0.3)
        await asyncio.sleep(4)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await send(log, 3_000, 500)
        wanted = [entry for n in range(4) for entry in await log.read(TOPIC, n, 0, 10_000)]
        assert len(wanted) == 3_500
        pieces = [await ArchivedLog(blobs, log, TOPIC).pieces(n) for n in range(4)]
        for n, found in enumerate(pieces):
            await forget(settings, n, found[-1].last - 5)
        assert await everything(ArchivedLog(blobs, log, TOPIC)) == wanted
        assert await ArchivedEvents(ArchivedLog(blobs, log, TOPIC)).end() == 3_500
        await shred("u7", blobs, log, (TOPIC,))
        assert await everything(ArchivedLog(blobs, log, TOPIC)) == [e for e in wanted if e.key != "u7"]
        assert said == []
        await forget(settings, 0, pieces[0][-1].last + 10)
        with pytest.raises(CorruptData, match=r"Offsets \d+ to \d+ of user\.interaction partition 0 are neither"):
            await everything(ArchivedLog(blobs, log, TOPIC))
        third = Archiver(log, blobs, config=SMALL, topics=(TOPIC,), tell=said.append)
        for _ in range(12):
            await third.step()
        await third.close()
        assert len(said) == 1 and "partition 0 are neither in the archive nor on the log" in said[0]
        await log.close()

    asyncio.run(body())
