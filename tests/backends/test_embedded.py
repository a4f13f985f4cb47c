"""The embedded backends keep the contract of every port."""

import asyncio
from pathlib import Path

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.interactions import SqliteInteractions
from backends.sqlite.slate_store import SqliteSlateStore
from backends.sqlite.social import SqliteComments, SqliteLikes, SqliteTotals
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.history import Interactions
from core.ports import EventLog, FeatureStore, HistoryStore, SlateStore, Tables, VideoStore
from tests.contracts.comments import CommentsContract, Talk
from tests.contracts.event_log import EventLogContract
from tests.contracts.events import impression, records
from tests.contracts.feature_store import FeatureStoreContract
from tests.contracts.history_store import HistoryStoreContract
from tests.contracts.interactions import InteractionsContract
from tests.contracts.likes import LikesContract, Social
from tests.contracts.slate_store import SlateStoreContract
from tests.contracts.tables import TablesContract
from tests.contracts.video_store import VideoStoreContract


class TestSqliteEventLog(EventLogContract):
    def open_log(self, folder: Path) -> EventLog:
        return SqliteEventLog(Database(folder / "log.db", durable=True))


class TestSqliteHistoryStore(HistoryStoreContract):
    def open_history(self, folder: Path) -> HistoryStore:
        return SqliteHistoryStore(Database(folder / "state.db", durable=False))

    def test_a_small_cache_forgets_viewers_and_never_what_they_saw(self, tmp_path: Path) -> None:
        store = SqliteHistoryStore(Database(tmp_path / "state.db", durable=False), cached_ids=3)
        for number in range(20):
            asyncio.run(store.record(records(impression(number, f"u{number % 4}", f"v{number}"))))
            asyncio.run(store.seen(f"u{number % 4}"))
        for viewer in range(4):
            expected = [f"v{number}" for number in range(20) if number % 4 == viewer]
            assert asyncio.run(store.seen(f"u{viewer}")) == expected


class TestSqliteInteractions(InteractionsContract):
    def open_interactions(self, folder: Path) -> Interactions:
        return SqliteInteractions(Database(folder / "state.db", durable=False))


class TestSqliteTables(TablesContract):
    async def open_tables(self, folder: Path) -> Tables:
        return SqliteTables(Database(folder / "state.db", durable=False))


class TestSqliteLikes(LikesContract):
    async def open_social(self, folder: Path) -> Social:
        database = Database(folder / "state.db", durable=False)
        return Social(SqliteTables(database), SqliteLikes(database), SqliteTotals(database))


class TestSqliteComments(CommentsContract):
    async def open_talk(self, folder: Path) -> Talk:
        database = Database(folder / "state.db", durable=False)
        return Talk(SqliteComments(database), SqliteTotals(database))


class TestSqliteVideoStore(VideoStoreContract):
    def open_videos(self, folder: Path) -> VideoStore:
        return SqliteVideoStore(Database(folder / "state.db", durable=False))


class TestSqliteFeatureStore(FeatureStoreContract):
    async def open_features(self, folder: Path, schema: str = "s1") -> FeatureStore:
        return SqliteFeatureStore(Database(folder / "state.db", durable=False), schema)


class TestSqliteSlateStore(SlateStoreContract):
    def open_slates(self, folder: Path) -> SlateStore:
        return SqliteSlateStore(Database(folder / "slates.db", durable=True))
