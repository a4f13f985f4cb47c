"""A small product without models: events are applied as they come, slates of random videos are served and logged."""

import asyncio

import numpy as np

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.slate_store import SqliteSlateStore
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.batch import CandidateBatch
from core.engine import Ranked, Trace
from core.query import Query
from core.slate import Slate
from core.video_table import Vocabulary
from features.definitions import schema_hash
from features.layout import VIEWER_DTYPE
from features.logged import READ, logged_slate
from features.online import OnlineFeatures
from features.packed import record_of
from features.processor import Processor, ReadModels
from features.skew.check import check_skew
from features.skew.one_log import LogCatalogue, LogStates
from features.state import FeatureState
from feeds.details import detail_of
from tests.features.toy_state import PROFILES, every_kind
from tests.features.worldlet import catalogue, publications


class ServedWorld:
    """Stores in a folder, one processor, and everything that was served."""

    def __init__(self, folder, seed=0):
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.database = Database(folder / "state.db", durable=False)
        self.log = SqliteEventLog(Database(folder / "log.db", durable=False))
        self.tables = SqliteTables(Database(folder / "tables.db", durable=False))
        self.slates = SqliteSlateStore(Database(folder / "slates.db", durable=False))
        self.features = SqliteFeatureStore(self.database, schema_hash())
        self.videos, self.history = SqliteVideoStore(self.database), SqliteHistoryStore(self.database)
        models = ReadModels(self.history, self.tables, self.videos, self.features, self.database.transaction)
        self.now_ms = 0
        self.state = FeatureState(asyncio.run(self.videos.load()))
        self.processor = Processor(self.log, models, self.state, Vocabulary(), lambda: self.now_ms)
        asyncio.run(self.tables.put_users(PROFILES))
        self.online = OnlineFeatures(self.state, Vocabulary(["for_you"]), 1)
        if asyncio.run(self.log.end()):
            asyncio.run(self.processor.load())
        else:
            self.happen(*publications())

    def restarted(self):
        """Another process over the same stores."""
        again = ServedWorld(self.folder)
        again.now_ms = self.now_ms
        return again

    def happen(self, *events):
        """Events come in and are applied, a little later than they happened."""
        asyncio.run(self.log.append(events))
        self.now_ms = max(self.now_ms, max(event.time_ms for event in events)) + int(self.rng.integers(1, 400))
        asyncio.run(self.processor.catch_up())

    def serve(self, viewer, rows=None, slate_id=None, propensity=None):
        """A slate of these videos (20 random ones) for a viewer, logged as the feed logs it."""
        if rows is None:
            rows = self.rng.choice(len(self.state.table), 20, replace=False)
        rows = np.asarray(rows, np.int32)
        query = asyncio.run(self.query(viewer))
        features, read = self.online.matrix_and_read(query, rows)
        columns = {"features": features, READ: read, "value": np.zeros(len(rows))}
        batch = CandidateBatch(rows, np.zeros(len(rows), np.int8), np.ones(len(rows), np.uint32), columns)
        slate = Slate(
            slate_id=slate_id or f"s{self.rng.integers(1 << 60)}", viewer_id=viewer, session_id=f"of {viewer}",
            surface="for_you", time_ms=query.now_ms, page=0, seed=0,
            video_ids=tuple(self.state.table.video_ids[row] for row in rows), sources=("random",) * len(rows),
            propensities=propensity or (), applied_offset=self.processor.applied,
        )  # fmt: skip
        detail = detail_of(slate, query, Ranked(batch, None, Trace()))
        asyncio.run(self.slates.append(slate))
        asyncio.run(self.slates.detail(detail))
        return slate, detail

    async def query(self, viewer):
        """What the feed would know of the viewer."""
        raw = (await self.features.read("viewer", [viewer]))[0]
        profile = (await self.tables.users([viewer]))[0]
        record = record_of(raw, VIEWER_DTYPE) if raw else self.state.new_viewer(None)
        if profile is not None:
            self.state.set_profile(record, profile)
        followed = (await self.tables.relations(viewer)).follows
        return Query(
            viewer_id=viewer, surface="for_you", session_id="", now_ms=self.now_ms, page=0, limit=20, seed=0,
            viewer_state=record, follows=self.state.table.authors.codes(list(followed)),
        )  # fmt: skip

    def live(self, events, slates, seed=5):
        """Random events of every kind in small groups, and slates in between; the logged slates."""
        stream = every_kind(catalogue(), events, seed)
        cuts = np.sort(self.rng.choice(np.arange(1, events), slates, replace=False)).tolist()
        logged = []
        for start, stop in zip([0, *cuts], [*cuts, events], strict=True):
            self.happen(*stream[start:stop])
            if stop < events:
                logged.append(logged_slate(*self.serve(f"u{self.rng.integers(8)}")))
        return logged

    def check(self, logged):
        """The check for skew over this world's log."""
        users = asyncio.run(self.tables.all_users())
        authors = self.state.table.authors.words
        return asyncio.run(check_skew(logged, LogStates(self.log, users), LogCatalogue(self.log), authors))
