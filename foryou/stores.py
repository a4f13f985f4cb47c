"""Opens the stores of a home folder: which backend stands behind each port is decided here alone."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backends.blob_folder import FolderBlobStore
from backends.file_turns import FileTurns
from backends.memory import MemoryBytes
from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.slate_store import SqliteSlateStore
from backends.sqlite.tables import SqliteTables
from backends.sqlite.trend_state import SqliteTrendState
from backends.sqlite.video_store import SqliteVideoStore
from core.clock import Clock
from core.ports import (
    BlobStore,
    Bytes,
    EventLog,
    EventSink,
    FeatureStore,
    HistoryStore,
    SlateLog,
    SlateStore,
    Tables,
    VideoStore,
)
from core.video_table import Vocabulary
from features.definitions import schema_hash
from features.processor import Processor, ReadModels
from features.state import FeatureState
from feeds.bundle import restore_words
from feeds.following_inbox import FollowingInbox
from feeds.last_known import KnownUsers, LastKnownRelations
from feeds.ranked_ahead import Watching
from feeds.told_events import ToldEvents
from feeds.trending.boards import CountsSource
from feeds.trending.config import TrendingConfig
from feeds.trending.home import HomeTrends
from feeds.turns import OwnTurns, Turns
from foryou.catch_up import catch_up
from foryou.live import EmbeddedLive, Live
from training.progress import Progress

# state.db can be built again from the log; the users in tables.db come from importers and cannot.
LOG_FILE, TABLES_FILE, STATE_FILE, SLATES_FILE = "log.db", "tables.db", "state.db", "slates.db"
TRENDS_FILE = "trending.db"
TURNS_FOLDER = "turns"


@dataclass(frozen=True, slots=True)
class Stores:
    """Every port of a running product, and how to let go of them.

    `current` brings what the log feeds up to its end: here where this process `applies` the log, else by waiting for
    the workers. `follow` gives the live feature state under the words of a bundle's folder. Events go to `sink`, and
    imports to `imports`, where that is not the log itself; `known` and `users` bridge an outage of the tables.
    `cache` is what replicas share, `kept` that or this process's own, `own` always the latter; `turns` lets a viewer's
    requests wait so many milliseconds for one another; `told` has the events that others will count,
    `watching` for whom is ranked ahead.
    """

    log: EventLog
    history: HistoryStore
    tables: Tables
    videos: VideoStore
    features: FeatureStore
    slates: SlateStore
    transaction: Callable[[], AbstractContextManager[None]]
    close: Callable[[], None]
    follow: Callable[[Path, Clock], Awaitable[Live]]
    current: Callable[[Progress], Awaitable[None]]
    trends: Callable[[Clock], CountsSource]
    applies: bool = True
    imports: EventLog | None = None
    sink: EventSink | None = None
    known: LastKnownRelations | None = None
    users: KnownUsers | None = None
    slate_log: SlateLog | None = None
    cache: Bytes | None = None
    told: ToldEvents | None = None
    watching: Watching | None = None
    kept: Callable[[Clock], Bytes] = MemoryBytes
    own: Callable[[Clock], Bytes] = MemoryBytes
    turns: Callable[[int], Turns] = lambda wait_ms: OwnTurns()
    inbox: Callable[[Callable[[Awaitable[None]], None], Callable[[str], None]], FollowingInbox] | None = None

    async def imported(self, told: Progress) -> None:
        """After an import: nothing is to be done where it wrote the log itself."""

    async def let_go(self) -> None:
        """Close everything, in the loop that used it."""
        self.close()

    def models(self) -> ReadModels:
        """What the log feeds."""
        return ReadModels(self.history, self.tables, self.videos, self.features, self.transaction)


def open_stores(home: Path, *, fresh_features: bool = False, durable: bool = True) -> Stores:
    """The embedded stores under `home`; with `fresh_features` rows of another feature schema are dropped, and
    without `durable` (a throw-away home) a power cut may lose the last writes.

    Raises SchemaMismatch, CorruptData or Unavailable.
    """
    log = Database(home / LOG_FILE, durable=durable)
    tables = Database(home / TABLES_FILE, durable=durable, remedy="restore a copy, or import the users again")
    state = Database(home / STATE_FILE, durable=durable)
    slates = Database(home / SLATES_FILE, durable=durable)
    if fresh_features:
        SqliteFeatureStore.forget(state, schema_hash())

    counted: list[Database] = []

    def close() -> None:
        for database in (log, tables, state, slates, *counted):
            database.close()

    def trends(clock: Clock) -> CountsSource:
        counted.append(Database(home / TRENDS_FILE, durable=False))
        return HomeTrends(stores.log, stores.tables, SqliteTrendState(counted[-1]), clock, TrendingConfig())

    async def follow(bundle: Path, clock: Clock) -> Live:
        feature_state = FeatureState(await stores.videos.load())
        restore_words(bundle, feature_state)
        processor = Processor(stores.log, stores.models(), feature_state, Vocabulary(), clock)
        await processor.load()
        return EmbeddedLive(stores.log, processor)

    async def current(told: Progress) -> None:
        await catch_up(stores, told)

    stores = Stores(
        log=SqliteEventLog(log),
        history=SqliteHistoryStore(state),
        tables=SqliteTables(tables),
        videos=SqliteVideoStore(state),
        features=SqliteFeatureStore(state, schema_hash()),
        slates=(slate_store := SqliteSlateStore(slates)),
        slate_log=slate_store,
        transaction=state.transaction,
        close=close,
        follow=follow,
        current=current,
        trends=trends,
        turns=partial(FileTurns, home / TURNS_FOLDER),
    )
    return stores


def training_blobs(home: Path) -> BlobStore:
    """Where a home's joined training rows are: HOME/training_rows."""
    return FolderBlobStore(home)
