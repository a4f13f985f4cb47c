"""Feast's online store over packed rows: the same bytes that serving reads, read and written by field."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from backends.feast_rows import Read, Written, answers, id_of, merged, tag_of
from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from core.errors import ContractError
from core.ports import FeatureStore

T = TypeVar("T")
Work = Coroutine[Any, Any, T]


class PackedOnlineStore(OnlineStore, ABC):
    """Reads and writes raw feature state where serving keeps it; SchemaMismatch, CorruptData or Unavailable."""

    @abstractmethod
    async def rows_of(self, config: RepoConfig, table: FeatureView) -> FeatureStore:
        """The rows under the view's schema."""

    @abstractmethod
    async def put(self, config: RepoConfig, table: FeatureView, data: Written) -> None:
        """Put the given fields into the stored rows in one batch."""

    @abstractmethod
    def now(self, work: Work[T]) -> T:
        """The result of the work, inside or outside an event loop."""

    @abstractmethod
    async def later(self, work: Work[T]) -> T:
        """The result of the work, for whoever can wait."""

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both."""
        return SupportedAsyncMethods(read=True, write=True)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> Read:
        """Unpack the rows of these keys in one batched read; (None, None) for a key without a row."""
        return self.now(self._read(config, table, entity_keys, requested_features))

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> Read:
        """As `online_read`."""
        return await self.later(self._read(config, table, entity_keys, requested_features))

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Written, progress: Callable[[int], Any] | None
    ) -> None:
        """Put the given fields into the stored rows (zeros where there is none) in one batched command.

        Later entries win, whatever their timestamps say: a packed row has one writer and one order.
        """
        self.now(self.put(config, table, data))
        if progress:
            progress(len(data))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: Written, progress: Callable[[int], Any] | None
    ) -> None:
        """As `online_write_batch`."""
        await self.later(self.put(config, table, data))
        if progress:
            progress(len(data))

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Have the rows, under these views' schema; they are the log's to write and are left alone."""
        for table in tables_to_keep:
            self.now(self.rows_of(config, table))

    async def _read(
        self, config: RepoConfig, table: FeatureView, keys: list[EntityKey], wanted: list[str] | None
    ) -> Read:
        store = await self.rows_of(config, table)
        return answers(table, await store.read(table.name, [id_of(key) for key in keys]), wanted)


async def merge(store: FeatureStore, table: FeatureView, data: Written) -> None:
    """Read the rows, put the fields in and write them; where the rows are in the log stays as it is."""
    ids = list(dict.fromkeys(id_of(key) for key, *_ in data))
    stored = dict(zip(ids, await store.read(table.name, ids), strict=True))
    await store.write({table.name: merged(table, stored, data)}, {})


class PackedSqliteOnlineStoreConfig(FeastConfigBaseModel):
    """Where the packed rows are."""

    type: Literal["backends.feast_online.PackedSqliteOnlineStore"] = "backends.feast_online.PackedSqliteOnlineStore"
    """Which online store Feast loads."""

    path: str = "../state.db"
    """The SQLite file, from the folder of feature_store.yaml."""


class PackedSqliteOnlineStore(PackedOnlineStore):
    """On the SQLite file of a home, which answers at once."""

    def __init__(self) -> None:
        self._databases: dict[Path, Database] = {}
        self._stores: dict[tuple[Path, str], SqliteFeatureStore] = {}

    async def rows_of(self, config: RepoConfig, table: FeatureView) -> FeatureStore:
        """The rows under the view's schema."""
        return self._open(config, table)[1]

    async def put(self, config: RepoConfig, table: FeatureView, data: Written) -> None:
        """In one transaction."""
        database, store = self._open(config, table)
        with database.transaction():
            await merge(store, table, data)

    def now(self, work: Work[T]) -> T:
        """The result of work that never suspends."""
        try:
            work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        raise ContractError("A store on SQLite suspended, which its callers rely on it never to do.")

    async def later(self, work: Work[T]) -> T:
        """The result of the work."""
        return await work

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Let go of the file. The rows stay: without them the offset that they include would be a lie."""
        for database in self._databases.values():
            database.close()
        self._databases.clear()
        self._stores.clear()

    def _open(self, config: RepoConfig, table: FeatureView) -> tuple[Database, SqliteFeatureStore]:
        path = (Path(config.repo_path or ".") / config.online_store.path).resolve()
        schema = tag_of(table, "schema_hash")
        database = self._databases.get(path)
        if database is None:
            database = self._databases[path] = Database(path, durable=False)
        if (path, schema) not in self._stores:
            self._stores[path, schema] = SqliteFeatureStore(database, schema)
        return database, self._stores[path, schema]
