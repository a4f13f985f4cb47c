"""An archiver over a toy log, and what tests of the archive do with it."""

import asyncio

from core.errors import StorageFull
from core.events import encode
from core.topics import USER_INTERACTION
from features.archive.pieces import ArchiveConfig
from features.archive.reader import ArchivedLog
from features.archive.writer import Archiver
from tests.contracts.events import like

START = 1_767_225_600_000  # 2026-01-01T00:00Z
TOPIC = USER_INTERACTION


class Failing:
    """A BlobStore whose puts fail while told to, before or after the object is durable."""

    def __init__(self, blobs):
        self._blobs, self.before, self.after = blobs, 0, 0
        self.get, self.list, self.delete = blobs.get, blobs.list, blobs.delete

    async def put(self, key, value):
        if self.before:
            self.before -= 1
            raise StorageFull("No space is left.")
        await self._blobs.put(key, value)
        if self.after:
            self.after -= 1
            raise StorageFull("It broke after all.")


def archiver(log, blobs, topics=(TOPIC,), said=None, **config):
    return Archiver(
        log, blobs, lambda: log.now, ArchiveConfig(**config), topics, (said if said is not None else []).append
    )


def fill(log, count, step_ms=60_000, topic=TOPIC, viewers=5):
    """`count` events, `step_ms` apart, of a few viewers."""
    for _ in range(count):
        number = log._next[topic, 0] + log._next[topic, 1]
        viewer = f"u{number % viewers}"
        log.put(topic, number % 2, viewer, encode(like(number, viewer)))
        log.now += step_ms


async def drain(worker):
    while await worker.step():
        pass


def run(log, blobs, **options):
    """An archiver from the committed offsets to the end of the log, closed in order."""

    async def work():
        worker = archiver(log, blobs, **options)
        await drain(worker)
        await worker.close()
        return worker

    return asyncio.run(work())


def keys(blobs, topic=TOPIC):
    return asyncio.run(blobs.list(f"archive/{topic}/"))


def read_all(blobs, log, topic=TOPIC, limit=7, partitions=2):
    async def work():
        archived, found = ArchivedLog(blobs, log, topic), []
        for partition in range(partitions):
            after = 0
            while entries := await archived.read(partition, after, limit):
                assert len(entries) <= limit
                found += entries
                after = entries[-1].offset
        return found

    return asyncio.run(work())
