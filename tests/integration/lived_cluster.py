"""A trained cluster that viewers have used: pages, reports, a worker restarted meanwhile, a broker that forgot."""

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from backends.sqlite.partition_state import SqlitePartitionStates
from core.clock import system_clock
from core.topics import COUNTS, SLATES, USER_INTERACTION
from features.logged import logged_slate
from feeds.logged_slates import ArchivedSlates
from foryou.cluster import open_cluster, open_sources
from serving.auth import OPERATOR
from tests.integration.watching_clients import WatchingClients

FORGOTTEN = (USER_INTERACTION, COUNTS, SLATES)
VIEWERS = [f"u{number}" for number in range(60)]
SLATES_EACH = 60
PATIENCE_S = 90


@dataclass
class Lived:
    """The cluster, its clients, and by topic the last offset of each partition that the broker forgot."""

    cluster: object
    clients: WatchingClients
    forgotten: dict = field(default_factory=dict)

    @asynccontextmanager
    async def opened(self):
        """A process's connections."""
        opened = await open_cluster(self.cluster.configured(), system_clock)
        try:
            await opened.catalogue.load()
            await opened.catalogue.advance()
            yield opened
        finally:
            await opened.close()

    @asynccontextmanager
    async def sources(self):
        """Archive and log, as a batch reads them."""
        sources = await open_sources(self.cluster.configured(), online=False)
        try:
            yield sources
        finally:
            await sources.close()

    async def applied(self):
        """Wait until viewers' and counters' states include their logs' ends, and every slate is on the log."""
        async with self.sources() as sources:
            await _until(lambda: self._at_ends(sources.messages), "the workers to reach the ends of their logs")
            await _until(lambda: self._shipped(sources), "the slates to be on the log with their features")

    async def _at_ends(self, messages):
        states = SqlitePartitionStates(self.cluster.home / "work")
        for topic, role in ((USER_INTERACTION, "viewer"), (COUNTS, "counter")):
            ends = [bounds.last for bounds in await messages.bounds(topic)]
            if any(states.offset(f"{role}-{number}") < end for number, end in enumerate(ends)):
                return False
        return True

    async def _shipped(self, sources):
        logged = {one.slate.slate_id for one in await logged_slates(sources)}
        return {slate_id for slate_id, _, _ in self.clients.watched.slates} <= logged


async def logged_slates(sources):
    """Every slate on the log that has its feature rows, oldest of each partition first."""
    log, found, after = ArchivedSlates(sources.log(SLATES)), [], 0
    while page := await log.logged(after, 500):
        after = page[-1][0]
        found += [one for _, slate, detail in page if (one := logged_slate(slate, detail)) is not None]
    return found


async def _until(reached, what):
    until = time.monotonic() + PATIENCE_S
    while not await reached():
        assert time.monotonic() < until, f"waited {PATIENCE_S} s for {what}"
        await asyncio.sleep(0.3)


async def live(cluster, replicas):
    """Viewers use the cluster; its worker is restarted, which archives; the broker forgets what is archived."""
    cluster.bearer("u0")  # makes the keys
    operator = cluster.keys().issue("staff", ttl_s=3_600, clock=system_clock, role=OPERATOR)
    clients = WatchingClients(replicas, cluster.bearer, operator)
    lived = Lived(cluster, clients)
    await asyncio.gather(clients.run(VIEWERS, SLATES_EACH), _publish_later(clients, ["v1", "v2", "v3"]))
    await asyncio.gather(clients.run(VIEWERS, SLATES_EACH // 4), asyncio.to_thread(_restart, cluster))
    archived = await _archived(lived)
    await asyncio.gather(clients.run(VIEWERS, SLATES_EACH), _publish_later(clients, ["v4", "v5", "v2"]))
    await lived.applied()
    lived.forgotten = await _forget(cluster, archived)
    return lived


async def _publish_later(clients, videos):
    await asyncio.sleep(1)
    await clients.publish(videos, "u3")


def _restart(cluster):
    worker = cluster.programs["worker"]
    assert worker.stop() == 0, worker.tail()
    worker.start()


async def _archived(lived):
    """By topic the last offset of each partition that the archive has."""
    async with lived.sources() as sources:
        found = {}
        for topic in FORGOTTEN:
            log = sources.log(topic)
            pieces = [await log.pieces(number) for number in range(len(await log.bounds()))]
            found[topic] = [listed[-1].last if listed else 0 for listed in pieces]
        return found


async def _forget(cluster, archived):
    """As the broker's retention would."""
    settings = cluster.configured()
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        await admin.delete_records(
            {
                TopicPartition(settings.kafka_prefix + topic, number): RecordsToDelete(last)
                for topic, offsets in archived.items()
                for number, last in enumerate(offsets)
                if last
            }
        )
    finally:
        await admin.close()
    return archived
