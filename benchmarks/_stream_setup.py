"""Servers, a catalogue and events for benchmarks/stream.py; everything under names of this run alone."""

import asyncio
import os
import random
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import connect
from backends.sqlite.database import Database
from backends.sqlite.partition_state import SqlitePartitionState, SqlitePartitionStates
from backends.sqlite.video_store import SqliteVideoStore
from core.clock import system_clock
from core.events import Comment, Impression, Like, Share, VideoPublished, Watch
from core.settings import Settings
from core.topics import CATALOGUE, COUNTS, USER_INTERACTION
from deploy.stack import Stack
from features.definitions import schema_hash
from features.stream import worker
from features.stream.catalogue import CatalogueFollower
from features.stream.kept_state import KeptConfig, Places
from features.stream.loop import StageConfig
from features.stream.sink import StreamSink
from features.stream.viewer_stage import Inlet
from features.stream.worker import Worker

VIEWERS, VIDEOS, AUTHORS, TOPICS, DIMENSIONS = 20_000, 5_000, 500, 20, 32


@contextmanager
def servers():
    """Kafka and Redis: those of FORYOU_TEST_STACK, else a stack of our own."""
    kept = os.environ.get("FORYOU_TEST_STACK")
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(kept or folder))
        if not kept:
            stack.up(["kafka", "redis"])
        try:
            yield stack.addresses()
        finally:
            if not kept:
                stack.remove()


def settings_of(addresses, home):
    """A cluster of our own on these servers."""
    name = f"bench{uuid.uuid4().hex[:8]}"
    return Settings(
        home=home, backends="cluster", kafka=addresses.kafka, redis=addresses.redis, kafka_prefix=f"{name}.",
        redis_prefix=f"{name}:",
    )  # fmt: skip


def events_of(count, start, seed=0):
    """Impressions with their watches, and reactions, of viewers and videos drawn by popularity."""
    rng, now = random.Random(seed), system_clock()
    made = []
    while len(made) < count:
        viewer, video = f"u{int(VIEWERS * rng.random() ** 2)}", f"v{int(VIDEOS * rng.random() ** 2)}"
        number = start + len(made)
        place = {"viewer_id": viewer, "video_id": video, "time_ms": now, "ingested_ms": now,
                 "viewer_region": "r0", "catalogue_offset": VIDEOS}  # fmt: skip
        made.append(Impression(event_id=f"e{number}", **place))
        length = 10_000 + 100 * (number % 300)
        made.append(Watch(event_id=f"e{number}w", play_ms=int(length * rng.random()), length_ms=length, **place))
        if rng.random() < 0.12:
            made.append(rng.choice((Like, Comment, Share))(event_id=f"e{number}r", **place))
    return made[:count]


def catalogue():
    """Videos with content embeddings."""
    rng, now = random.Random(1), system_clock()
    return [
        VideoPublished(
            event_id=f"p{n}", viewer_id=f"a{n % AUTHORS}", time_ms=now, ingested_ms=now, video_id=f"v{n}",
            author_id=f"a{n % AUTHORS}", length_ms=20_000, upload_ms=now, topic=f"t{n % TOPICS}", language="en",
            region="r0", content_embedding=tuple(rng.gauss(0, 0.2) for _ in range(DIMENSIONS)),
        )
        for n in range(VIDEOS)
    ]  # fmt: skip


class Parts:
    """The connections of one process, and the follower of its host's catalogue."""

    def __init__(self, settings, log, nodes, features, host):
        self.settings, self.log, self.nodes, self.features, self.host = settings, log, nodes, features, host
        journal = SqlitePartitionState(host)
        self.catalogue = CatalogueFollower(log, SqliteVideoStore(host), journal, host.transaction)

    @classmethod
    async def open(cls, settings):
        settings.home.mkdir(parents=True, exist_ok=True)
        log = await KafkaMessageLog.open(settings)
        nodes = connect(settings)
        features = await RedisFeatureStore.open(nodes, schema_hash())
        return cls(settings, log, nodes, features, Database(settings.home / "catalogue.db", durable=False))

    async def close(self):
        """Let go of them."""
        await self.log.close()
        await self.nodes.close()
        self.host.close()

    def worker(self, *roles):
        """A worker in these roles."""
        config, kept, inlet = StageConfig(), KeptConfig(), Inlet(self.log, self.catalogue, system_clock)
        places = Places(SqlitePartitionStates(self.settings.home / "work"), self.features)
        made = {
            "catalogue": lambda: worker.registrar(self.log, config),
            "viewers": lambda: worker.viewers(inlet, places, config, kept),
            "counters": lambda: worker.counters(inlet, places, config, kept),
        }
        counting = {"viewers", "counters"} & set(roles)
        return Worker({role: made[role]() for role in roles}, inlet if counting else None)

    async def ends(self, topic):
        """The last offset of each partition."""
        return [bounds.last for bounds in await self.log.bounds(topic)]


async def prepare(settings):
    """Topics, and the catalogue in its order."""
    await ensure_topics(settings)
    parts = await Parts.open(settings)
    await StreamSink(parts.log).append(catalogue())
    working = asyncio.create_task(parts.worker("catalogue").run())
    while (await parts.ends(CATALOGUE))[0] < VIDEOS:
        await asyncio.sleep(0.1)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await parts.close()


async def until_counted(worker, parts):
    """Until a worker in this process has counted all there is; it tells how far it is, no file is asked, and Kafka once
    for each topic: what asks costs processor time too. The counters' topic has all once the viewers' work is done."""
    for role, topic in (("viewers", USER_INTERACTION), ("counters", COUNTS)):
        ends, lanes = await parts.ends(topic), worker.roles[role]._lanes
        while len(lanes) != len(ends) or any(lanes[n].done < end for n, end in enumerate(ends)):
            await asyncio.sleep(0.05)


def offsets(settings, role, partitions):
    """How far the state files of a role are."""
    states = SqlitePartitionStates(settings.home / "work")
    return [states.offset(f"{role}-{number}") for number in range(partitions)]


async def until_applied(parts, topic, role, within_s=120):
    """Until the files of a role's partitions, which another process writes, reach the end of its topic."""
    until = time.monotonic() + within_s
    while True:
        ends = await parts.ends(topic)
        if all(done >= end for done, end in zip(offsets(parts.settings, role, len(ends)), ends, strict=True)):
            return
        assert time.monotonic() < until, f"{role} did not come to the end of {topic}"
        await asyncio.sleep(0.1)
