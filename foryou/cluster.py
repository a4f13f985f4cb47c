"""The product on real servers: what stands behind each port of a cluster, and what its processes are made of."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from backends.blob_folder import FolderBlobStore
from backends.cassandra.history import CassandraHistory, ensure_schema
from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import check_topics, ensure_topics
from backends.postgres.database import PostgresDatabase
from backends.postgres.migrate import migrate
from backends.postgres.tables import PostgresTables
from backends.redis.bytes import RedisBytes
from backends.redis.counters import RedisCounters
from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import Nodes, connect
from backends.redis.ranked import RedisRanked
from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.partition_state import SqlitePartitionState
from backends.sqlite.slate_outbox import SqliteSlateOutbox
from backends.sqlite.video_store import SqliteVideoStore
from core.clock import Clock
from core.errors import Unavailable
from core.log import MessageLog
from core.ports import EventLog, Record
from core.settings import Settings
from core.topics import USER_INTERACTION
from features.archive.events import ArchivedEvents
from features.archive.reader import ArchivedLog
from features.backfill.tasks import Sources
from features.definitions import schema_hash
from features.stream.catalogue import CatalogueFollower
from features.stream.sink import StreamSink
from feeds.known_ids import RecognisingSink
from feeds.last_known import KnownUsers, LastKnownRelations
from feeds.ranked_ahead import Watching
from feeds.shared_slates import SharedSlates, SlateShipper
from feeds.told_events import ToldEvents
from feeds.trending.published import PublishedTrends
from feeds.turns import SharedTurns
from foryou.cluster_fanout import following_inbox
from foryou.cluster_live import ClusterLive
from foryou.cluster_work import run_until, worker_of
from foryou.live import Live
from foryou.patience import patiently
from foryou.pour import pour
from foryou.stores import LOG_FILE, Stores
from foryou.worker_metrics import told_on_a_port
from training.progress import Progress

CATALOGUE_FILE: Final = "catalogue.db"
HOST_FOLDER: Final = "host"
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Cluster:
    """The connections of one process, and the parts of the host that it stands on."""

    settings: Settings
    clock: Clock
    messages: MessageLog
    history: CassandraHistory
    postgres: PostgresDatabase
    nodes: Nodes
    features: RedisFeatureStore
    host: Database
    videos: SqliteVideoStore = field(init=False)
    catalogue: CatalogueFollower = field(init=False)
    blobs: FolderBlobStore = field(init=False)
    _files: list[Database] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.videos = SqliteVideoStore(self.host)
        journal = SqlitePartitionState(self.host)
        self.catalogue = CatalogueFollower(self.messages, self.videos, journal, self.host.transaction, self.clock)
        self.blobs = FolderBlobStore(self.settings.blobs)

    def stores(self) -> "ClusterStores":
        """Every port of a product on this cluster."""
        settings, tables = self.settings, PostgresTables(self.postgres)
        cache, ranked = RedisBytes(self.nodes), RedisRanked(self.nodes)
        known, told = LastKnownRelations(cache, ranked), ToldEvents(ranked)
        own = SqliteSlateOutbox(self._file(f"slates{'-' + settings.replica if settings.replica else ''}.db"))
        slates = SharedSlates(own, ranked, cache, settings.hydrate_deadline_ms // 2, self.clock)
        shipper = SlateShipper(own, self.messages, self.clock)
        interactions = ArchivedLog(self.blobs, self.messages, USER_INTERACTION)

        async def heard(records: Sequence[Record]) -> None:
            await asyncio.gather(known.report(records), told.tell(records))

        async def follow(bundle: Path, clock: Clock) -> Live:
            beside = [shipper.run, slates.run]
            return await ClusterLive.begin(bundle, self.catalogue, self.messages, settings.home / HOST_FOLDER, beside)

        return ClusterStores(
            log=ArchivedEvents(interactions),  # type: ignore[arg-type]  # it is read; events go to the sink
            history=self.history,
            tables=tables,
            videos=self.videos,
            features=self.features,
            slates=slates,
            transaction=nullcontext,
            close=lambda: None,
            follow=follow,
            current=self._current,
            applies=False,
            imports=self._import_log(),
            sink=RecognisingSink(StreamSink(self.messages), cache, heard, settings.hydrate_deadline_ms),
            told=told,
            watching=Watching(ranked, self.clock),
            known=known,
            users=KnownUsers(tables, self.clock),
            trends=lambda clock: PublishedTrends(cache, self._partitions, settings.hydrate_deadline_ms / 1000),
            cache=cache,
            kept=lambda clock: cache,
            turns=partial(SharedTurns, RedisCounters(self.nodes)),
            inbox=partial(following_inbox, self),
            cluster=self,
        )

    async def _partitions(self) -> int:
        return len(await self.messages.bounds(USER_INTERACTION))

    async def work(self, roles: Sequence[str], stop: asyncio.Event, tell: Callable[[str], None]) -> None:
        """Work on the stream in these roles (all where none is named) until told to stop."""
        worker = worker_of(self, roles)
        with told_on_a_port(worker, self.settings):
            tell(f"The worker is ready: {', '.join(worker.roles)}; Ctrl-C ends it.")
            await run_until(worker, stop)

    def _import_log(self) -> EventLog:
        return SqliteEventLog(self._file(LOG_FILE))

    def _file(self, name: str) -> Database:
        self._files.append(Database(self.settings.home / name, durable=True))
        return self._files[-1]

    async def _current(self, told: Progress) -> None:
        """Follow the catalogue to its end."""
        await self.catalogue.load()
        told("catalogue", await self.catalogue.advance(), 0)

    async def close(self) -> None:
        """Let go of everything."""
        closing: list[Callable[[], Awaitable[None]]] = [
            self.messages.close, self.history.close, self.postgres.close, self.nodes.close,
        ]  # fmt: skip
        for close in closing:
            try:
                await close()
            except Unavailable as error:
                _log.warning("Not closed in order: %s", error.sentence)
        for file in (self.host, *self._files):
            file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStores(Stores):
    """The ports of a cluster; the log that they read is its archive and its topics as one."""

    cluster: Cluster

    async def imported(self, told: Progress) -> None:
        """Pour what the import wrote into the cluster's log."""
        assert self.imports is not None
        await pour(self.imports, StreamSink(self.cluster.messages), self.cluster.messages, self.tables, told)

    async def let_go(self) -> None:
        """Close everything, in the loop that used it."""
        await self.cluster.close()


async def open_cluster(settings: Settings, clock: Clock) -> Cluster:
    """Connect to the servers of the settings. Raises Unavailable for one that does not answer (after trying for some
    time), ConfigError for one that is not set up; nothing else is taken instead, and nothing is made at home."""
    patience_s = settings.start_patience_s
    async with AsyncExitStack() as opened:
        # What is no address is told before any waiting.
        nodes, postgres = connect(settings), PostgresDatabase(settings)
        opened.push_async_callback(nodes.close)
        opened.push_async_callback(postgres.close)
        messages = await KafkaMessageLog.open(settings)
        opened.push_async_callback(messages.close)
        await check_topics(settings)
        history = await CassandraHistory.open(settings, patience_s=patience_s)
        opened.push_async_callback(history.close)
        features = await patiently(partial(RedisFeatureStore.open, nodes, schema_hash()), patience_s)
        await patiently(postgres.check, patience_s)
        settings.home.mkdir(parents=True, exist_ok=True)
        host = Database(settings.home / CATALOGUE_FILE, durable=False)
        opened.pop_all()
    return Cluster(settings, clock, messages, history, postgres, nodes, features, host)


def initialise(settings: Settings) -> list[str]:
    """Make topics, keyspace and tables where they are missing; what there is now, in sentences. As `open_cluster`."""

    async def run() -> None:
        patience_s = settings.start_patience_s
        await (await KafkaMessageLog.open(settings)).close()
        await patiently(partial(ensure_topics, settings), patience_s)
        await ensure_schema(settings, patience_s=patience_s)
        await patiently(partial(migrate, settings), patience_s)

    asyncio.run(run())
    return [
        f"Kafka at {settings.kafka} has its topics ({settings.kafka_profile} profile).",
        f"Cassandra at {settings.cassandra} has the keyspace {settings.cassandra_keyspace}.",
        "PostgreSQL has its tables.",
    ]


async def open_sources(settings: Settings, online: bool) -> Sources:
    """What a backfill reads, and the online store where it writes there too. As for `open_cluster`."""
    async with AsyncExitStack() as opened:
        features = None
        if online:
            nodes = connect(settings)
            opened.push_async_callback(nodes.close)
            store = partial(RedisFeatureStore.open, nodes, schema_hash())
            features = await patiently(store, settings.start_patience_s)
        messages = await KafkaMessageLog.open(settings)
        opened.push_async_callback(messages.close)
        await check_topics(settings)
        return Sources(FolderBlobStore(settings.blobs), messages, features, opened.pop_all().aclose)
