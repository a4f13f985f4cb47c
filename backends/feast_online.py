"""Feast's online store over the packed rows of SQLite: the same bytes, read and written by field.

A feature view says in tags how a row is laid out: `schema_hash`, `row_bytes`, `clock_field` and `clock_unit_ms`
(when the row was last updated) on the view; `format`, `offset` and `count` on each field.
"""

from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from feast import Entity, FeatureView
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from backends.feast_values import fill, values_of
from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from core.arrays import Array
from core.errors import ConfigError, ContractError, CorruptData

Written = list[tuple[EntityKey, dict[str, Value], datetime, datetime | None]]
Read = list[tuple[datetime | None, dict[str, Value] | None]]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T = TypeVar("T")


class PackedSqliteOnlineStoreConfig(FeastConfigBaseModel):
    """Where the packed rows are."""

    type: Literal["backends.feast_online.PackedSqliteOnlineStore"] = "backends.feast_online.PackedSqliteOnlineStore"
    """Which online store Feast loads."""

    path: str = "../state.db"
    """The SQLite file, from the folder of feature_store.yaml."""


class PackedSqliteOnlineStore(OnlineStore):
    """Reads and writes raw feature state where serving keeps it; SchemaMismatch, CorruptData or Unavailable."""

    def __init__(self) -> None:
        self._databases: dict[Path, Database] = {}
        self._stores: dict[tuple[Path, str], SqliteFeatureStore] = {}

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both, since SQLite answers at once."""
        return SupportedAsyncMethods(read=True, write=True)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> Read:
        """Unpack the rows of these keys in one batched read; (None, None) for a key without a row."""
        return _now(self.online_read_async(config, table, entity_keys, requested_features))

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> Read:
        """As `online_read`."""
        _, store = self._open(config, table)
        raw = await store.read(table.name, [_id(key) for key in entity_keys])
        records = _records([row for row in raw if row is not None], table)
        wanted = requested_features or [field.name for field in table.features]
        values = iter(values_of(records, [name for name in wanted if name in (records.dtype.names or ())]))
        times = iter(_times(records, table))
        return [(None, None) if row is None else (next(times), next(values)) for row in raw]

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Written, progress: Callable[[int], Any] | None
    ) -> None:
        """Put the given fields into the stored rows (zeros where there is none) in one transaction.

        Later entries win, whatever their timestamps say: a packed row has one writer and one order.
        """
        _now(self.online_write_batch_async(config, table, data, progress))

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: Written, progress: Callable[[int], Any] | None
    ) -> None:
        """As `online_write_batch`."""
        database, store = self._open(config, table)
        ids = list(dict.fromkeys(_id(key) for key, *_ in data))
        with database.transaction():
            stored = await store.read(table.name, ids)
            empty = bytes(_layout(table).itemsize)
            records = _records([row or empty for row in stored], table)
            place = {key: row for row, key in enumerate(ids)}
            for key, values, *_ in data:
                fill(records, place[_id(key)], values)
            rows = {key: records[row].tobytes() for key, row in place.items()}
            await store.write({table.name: rows}, await store.applied_offset())
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
        """Have the table, under these views' schema; rows are the log's to write and are left alone."""
        for table in tables_to_keep:
            self._open(config, table)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Let go of the file. The rows stay: without them the offset that they include would be a lie."""
        for database in self._databases.values():
            database.close()
        self._databases.clear()
        self._stores.clear()

    def _open(self, config: RepoConfig, table: FeatureView) -> tuple[Database, SqliteFeatureStore]:
        path = (Path(config.repo_path or ".") / config.online_store.path).resolve()
        schema = _tag(table, "schema_hash")
        database = self._databases.get(path)
        if database is None:
            database = self._databases[path] = Database(path, durable=False)
        if (path, schema) not in self._stores:
            self._stores[path, schema] = SqliteFeatureStore(database, schema)
        return database, self._stores[path, schema]


def _now(answer: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never suspends, inside or outside an event loop."""
    try:
        answer.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise ContractError("A store on SQLite suspended, which its callers rely on it never to do.")


def _id(key: EntityKey) -> str:
    if len(key.entity_values) != 1 or key.entity_values[0].WhichOneof("val") != "string_val":
        raise ConfigError(f"Rows are keyed by one string, not by {list(key.join_keys)}; apply the feature repo again.")
    return str(key.entity_values[0].string_val)


def _tag(table: FeatureView, name: str) -> str:
    found = (table.tags or {}).get(name)
    if found is None:
        raise ConfigError(
            f"The feature view {table.name} does not say its {name} in a tag; apply the repo that is"
            " generated by features.feast_repo."
        )
    return str(found)


def _layout(table: FeatureView) -> np.dtype[np.void]:
    """The named fields of a packed row, as the view's tags say."""
    tags = {field.name: field.tags for field in table.features}
    return np.dtype(
        {
            "names": list(tags),
            "formats": [(t["format"], (int(t["count"]),)) if t["count"] != "1" else t["format"] for t in tags.values()],
            "offsets": [int(t["offset"]) for t in tags.values()],
            "itemsize": int(_tag(table, "row_bytes")),
        }
    )


def _records(rows: list[bytes], table: FeatureView) -> Array:
    """Packed rows as writable records by field."""
    layout = _layout(table)
    if wrong := {len(row) for row in rows} - {layout.itemsize}:
        raise CorruptData(
            f"A packed {table.name} row has {min(wrong)} bytes where {layout.itemsize} are due;"
            " rebuild with `foryou train`."
        )
    return np.frombuffer(b"".join(rows), layout).copy()


def _times(records: Array, table: FeatureView) -> list[datetime]:
    """When each row was last updated, to the step."""
    unit = timedelta(milliseconds=int(_tag(table, "clock_unit_ms")))
    return [_EPOCH + int(step) * unit for step in records[_tag(table, "clock_field")].tolist()]
