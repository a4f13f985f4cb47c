"""Two API processes with For-You feeds over one shared log, history and cache, and the worker that counts for them.

The worker counts when a test says so; the processes keep their own slates and show them to each other by the cache.
"""

import asyncio

import numpy as np

from backends.memory import MemoryBytes, MemoryCounters, MemoryRanked
from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.slate_outbox import SqliteSlateOutbox
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.engine import Engine
from core.settings import Settings
from core.video_table import Vocabulary
from features.layout import SKIP_BIT
from features.processor import Processor, ReadModels
from features.state import FeatureState, state_of
from feeds.config import ForYouConfig
from feeds.cursor import CursorSigner
from feeds.for_you import ForYouFeed, ForYouParts, settle
from feeds.hydrate import Readers
from feeds.known_ids import RecognisingSink
from feeds.last_known import LastKnownRelations
from feeds.seen_videos import SeenConfig, SeenVideos
from feeds.shared_slates import SharedSlates
from feeds.surfaces import for_you
from feeds.told_events import ToldEvents
from feeds.turns import SharedTurns
from tests.features.worldlet import publications
from tests.feeds.toy_feed import NOW_MS, EveryVideo, ToyModels

KINDS = 8
CONFIG = ForYouConfig(
    author_cap=40, author_weight=0, similarity_weight=0, topic_weight=0, exploration_weight=0, dislike_weight=30,
    like_weight=30, exploration_every=0, random_share=0,
)  # fmt: skip


class AttentiveModels(ToyModels):
    """A video is worth minus its row; 20 less for each skipped one of its kind (the row's rest by KINDS), and 20 more
    where the viewer follows its author."""

    def __init__(self, table):
        self._table, self.ranked = table, 0

    def features_and_read(self, query, rows, tower):
        self.ranked += 1
        state = state_of(query)[0]
        length = int(state["history_len"])
        skipped = state["history_video"][:length][(state["history_signal"][:length] & SKIP_BIT) > 0]
        skips = np.bincount(skipped % KINDS, minlength=KINDS)[rows % KINDS]
        followed = np.isin(self._table.author[rows], query.follows)
        worth = (-rows - 20.0 * skips + 20.0 * followed).astype(np.float32)
        _, read = super().features_and_read(query, rows, tower)
        return worth[:, None], read

    def content(self, rows):
        return np.eye(KINDS, dtype=np.float32)[rows % KINDS]


class Replica:
    """One API process: its own slates and memory, the rest shared."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.effects, clock, self.engine = set(), cluster.clock, Engine()
        own = SqliteSlateOutbox(Database(cluster.folder / f"slates-{name}.db", durable=False))
        self.slates = SharedSlates(own, cluster.ranked, cluster.cache, cluster.deadline_ms, clock)
        known, told = LastKnownRelations(cluster.cache, cluster.ranked), ToldEvents(cluster.ranked)
        table = cluster.state.table

        async def heard(records):
            await asyncio.gather(known.report(records), told.tell(records))

        self.sink = RecognisingSink(cluster.log, cluster.cache, heard, 2_000)
        seen = SeenVideos(cluster.history, cluster.cache, table, clock, SeenConfig(), self._later)
        readers = Readers(
            cluster.features, cluster.history, cluster.tables, self.slates, known, seen=seen, told=told
        )  # fmt: skip
        self.models = AttentiveModels(table)
        surface = for_you((EveryVideo(table),), table, self.models, CONFIG)
        self.parts = ForYouParts(
            readers=readers, videos=cluster.videos, state=cluster.state, surface=lambda: surface,
            bundle_id=lambda: "b1", applied_offset=lambda: cluster.worker.applied, engine=self.engine,
            signer=CursorSigner(b"k" * 32), config=CONFIG,
            settings=Settings(request_deadline_ms=20_000, full_slate_share=0), clock=clock, new_id=cluster.new_id,
            later=self._later, turns=SharedTurns(cluster.counters, 2_000), **cluster.extra(self),
        )  # fmt: skip
        self.feed = ForYouFeed(self.parts)

    def _later(self, effect):
        self.effects.add(asyncio.ensure_future(effect))

    async def ask(self, viewer="ann", page=None, limit=5, cursor=None):
        """A page, after its side effects."""
        return await self.settled(self.feed.page(viewer, page=page, limit=limit, cursor=cursor, device=""))

    def prepare(self, viewer, **query):
        """Whether something was ranked ahead."""
        return asyncio.run(self.settled(self.feed.prepare(viewer, **query)))

    async def settled(self, work):
        """What the work gives, after its side effects."""
        answer = await work
        await settle(set(self.effects), lambda name: None)
        self.effects.clear()
        return answer

    def page(self, *args, **query):
        """The same from outside a loop."""
        return asyncio.run(self.ask(*args, **query))

    def tell(self, *events):
        """Events that this process accepts: on the log, and nowhere counted."""
        asyncio.run(self.sink.append(events))


class ToyCluster:
    """What the processes share; `videos` in the catalogue, and `extra` parts of each process's feed."""

    def __init__(self, folder, videos=40, authors=6, extra=lambda replica: {}, deadline_ms=2_000):
        self.folder, self.extra, self.now_ms, self.ids = folder, extra, NOW_MS, 0
        self.deadline_ms = deadline_ms
        database = Database(folder / "state.db", durable=False)
        self.log = SqliteEventLog(Database(folder / "log.db", durable=False))
        self.tables, self.history = SqliteTables(database), SqliteHistoryStore(database)
        self.features, self.videos = SqliteFeatureStore(database, "s"), SqliteVideoStore(database)
        asyncio.run(self.log.append(publications(videos, authors)))
        models = ReadModels(self.history, self.tables, self.videos, self.features, database.transaction)
        self.state = FeatureState(asyncio.run(self.videos.load()))
        self.worker = Processor(self.log, models, self.state, Vocabulary(), self.clock)
        asyncio.run(self.worker.load())
        self.cache, self.ranked = MemoryBytes(self.clock), MemoryRanked(self.clock)
        self.counters = MemoryCounters(self.clock)
        self.replicas = {name: Replica(self, name) for name in ("a", "b")}

    def clock(self):
        return self.now_ms

    def new_id(self):
        self.ids += 1
        return f"id{self.ids}"

    @property
    def both(self):
        """The two processes."""
        return self.replicas["a"], self.replicas["b"]

    def restart(self, name):
        """The process again, with what is on its disk."""
        self.replicas[name] = Replica(self, name)

    def lose_cache(self):
        """The cache starts again with nothing."""
        self.cache._kept.clear()
        self.cache._size = 0
        for kept in (self.ranked._sets, self.counters._counts):
            kept.forget(list(kept._values))

    def watch(self):
        """What each process does beside its requests, twice a second."""
        for replica in self.replicas.values():
            asyncio.run(replica.slates.watch())

    def happened(self, *events):
        """Events that the worker has counted."""
        asyncio.run(self.log.append(events))
        self.work()

    def work(self):
        """The worker counts what is on the log."""
        asyncio.run(self.worker.catch_up())
