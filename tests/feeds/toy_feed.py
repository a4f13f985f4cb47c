"""The For-You use case over embedded stores, the worldlet's catalogue and models that a test can foresee."""

import asyncio
from dataclasses import replace

import numpy as np

from backends.memory import MemoryBytes
from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.slate_store import SqliteSlateStore
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.catalogue import ViewerRecord
from core.engine import Engine
from core.settings import Settings
from core.video_table import Vocabulary
from features.logged import READ_DTYPE
from features.processor import Processor, ReadModels
from features.state import FeatureState
from feeds.config import ForYouConfig
from feeds.cursor import CursorSigner
from feeds.for_you import ForYouFeed, ForYouParts, settle
from feeds.hydrate import Readers
from feeds.seen_videos import SeenVideos
from feeds.surfaces import for_you
from tests.features.worldlet import START_MS, publications

NOW_MS = START_MS + 3_600_000


class ToyModels:
    """The value of a video is minus its row; every video has a direction of its own."""

    def tower_scores(self, query, rows):
        return -rows.astype(np.float32)

    def features_and_read(self, query, rows, tower):
        return -rows[:, None].astype(np.float32), np.zeros(len(rows), READ_DTYPE)

    def values(self, features):
        return features[:, 0].astype(np.float64)

    def watches(self, features):
        return np.zeros(len(features))

    def content(self, rows):
        return np.eye(64, dtype=np.float32)[rows]


class EveryVideo:
    """A source of the whole catalogue."""

    name = "every"

    def __init__(self, table):
        self._table = table

    def fetch(self, query):
        return np.arange(len(self._table), dtype=np.int32)


class ToyFeed:
    """A feed whose clock and ids a test controls; weights are 0, so that pages run by row."""

    def __init__(self, folder, *, seen=None, parts=None, **replaced):
        database = Database(folder / "state.db", durable=False)
        self.log = SqliteEventLog(Database(folder / "log.db", durable=False))
        self.tables = SqliteTables(database)
        self.features, self.history = SqliteFeatureStore(database, "s"), SqliteHistoryStore(database)
        self.slates = SqliteSlateStore(Database(folder / "slates.db", durable=False))
        self.videos = SqliteVideoStore(database)
        asyncio.run(self.tables.put_users([ViewerRecord(user_id="a0", username="zero", verified=True)]))
        asyncio.run(self.log.append(publications()))
        models = ReadModels(self.history, self.tables, self.videos, self.features, database.transaction)
        self.state = FeatureState(asyncio.run(self.videos.load()))
        self.processor = Processor(self.log, models, self.state, Vocabulary())
        asyncio.run(self.processor.load())
        self.now_ms, self.ids, self.effects = NOW_MS, 0, set()
        self.cache = MemoryBytes(lambda: self.now_ms)
        if seen is not None:
            table = self.state.table
            replaced["seen"] = SeenVideos(self.history, self.cache, table, lambda: self.now_ms, seen, self._later)
        self.feed = ForYouFeed(replace(self._parts(replaced), **(parts or {})))

    def _parts(self, replaced):
        stores = {"features": self.features, "history": self.history, "tables": self.tables, "slates": self.slates}
        weights = {"author_weight": 0, "similarity_weight": 0, "topic_weight": 0}
        config = ForYouConfig(author_cap=40, random_share=0, exploration_every=0, **weights)
        table = self.state.table
        self.surface = for_you((EveryVideo(table),), table, ToyModels(), config)
        return ForYouParts(
            readers=Readers(**(stores | replaced)), videos=self.videos, state=self.state, surface=lambda: self.surface,
            bundle_id=lambda: "b1", applied_offset=lambda: self.processor.applied, engine=Engine(timer=lambda: 0),
            signer=CursorSigner(b"k" * 32), config=config, settings=Settings(request_deadline_ms=400),
            clock=lambda: self.now_ms, new_id=self._new_id, later=self._later,
        )  # fmt: skip

    def _new_id(self):
        self.ids += 1
        return f"id{self.ids}"

    def _later(self, effect):
        self.effects.add(asyncio.ensure_future(effect))

    def page(self, viewer="ann", page=None, limit=5, cursor=None):
        """One page, after its side effects."""

        async def ask():
            answer = await self.feed.page(viewer, page=page, limit=limit, cursor=cursor, device="")
            await settle(set(self.effects), lambda name: None)
            self.effects.clear()
            return answer

        return asyncio.run(ask())

    def happen(self, *events):
        """Put events on the log and apply them."""
        asyncio.run(self.log.append(events))
        asyncio.run(self.processor.catch_up())


def ids(page):
    """The videos of a page."""
    return [video.video_id for video in page.videos]
