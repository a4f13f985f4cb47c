"""FeatureStore on SQLite: packed rows, and the log offset that they include, in one transaction."""

from collections.abc import Mapping, Sequence

from backends.sqlite.database import Database
from core.errors import SchemaMismatch
from core.sparse import whole

_SCHEMA = """
CREATE TABLE IF NOT EXISTS features (
  entity TEXT NOT NULL, id TEXT NOT NULL, row BLOB NOT NULL, PRIMARY KEY (entity, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feature_facts (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID
"""

_ONE_LOG = "applied_offset"


class SqliteFeatureStore:
    """Packed rows written under one feature schema; SchemaMismatch when the file holds another's."""

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        database.create(_SCHEMA)
        stored = self._fact("schema")
        if stored is None:
            self._put_fact("schema", schema)
        elif stored != schema:
            raise SchemaMismatch(
                f"The features in {database.path} were written under schema {stored} and this build computes"
                f" {schema}; run `foryou train` to compute them again from the log."
            )

    async def read(self, entity: str, ids: Sequence[str]) -> list[bytes | None]:
        """One batched read, in the order asked for."""
        sql = "SELECT id, row FROM features WHERE entity = ? AND id IN"
        found: dict[str, bytes] = dict(self._database.select_in(sql, ids, (entity,)))
        return whole([found.get(key) for key in ids])

    async def write(
        self, rows: Mapping[str, Mapping[str, bytes]], applied: int | Mapping[str, int]
    ) -> Mapping[str, int]:
        """Write rows by entity and id, and how far into the log they go, in one transaction; what the marks said."""
        before: dict[str, int] = {}
        with self._database.transaction():
            for entity, by_id in rows.items():
                self._database.execute_many(
                    "INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                    ((entity, key, by_id[key]) for key in sorted(by_id)),
                )
            if isinstance(applied, int):
                self._put_fact(_ONE_LOG, applied)
            else:
                for name, offset in applied.items():
                    before[name] = int(self._fact(_mark(name)) or 0)
                    self._put_fact(_mark(name), offset)
        return before

    async def scan(self, entity: str) -> list[tuple[str, bytes]]:
        """Every row of an entity, by id."""
        found = self._database.rows("SELECT id, row FROM features WHERE entity = ? ORDER BY id", (entity,))
        rows = whole([row for _, row in found])
        return [(key, row) for (key, _), row in zip(found, rows, strict=True) if row is not None]

    async def applied_offset(self) -> int:
        """The log offset that the stored rows include, 0 at first."""
        return int(self._fact(_ONE_LOG) or 0)

    async def marks(self, names: Sequence[str]) -> list[int]:
        """The offsets last written under these marks, 0 for each that is not there."""
        return [int(self._fact(_mark(name)) or 0) for name in names]

    def _fact(self, name: str) -> str | int | None:
        found = self._database.row("SELECT value FROM feature_facts WHERE name = ?", (name,))
        return None if found is None else found[0]

    def _put_fact(self, name: str, value: str | int) -> None:
        self._database.execute("INSERT OR REPLACE INTO feature_facts VALUES (?, ?)", (name, value))

    @staticmethod
    def forget(database: Database, schema: str) -> None:
        """Drop the rows of any other schema, so that they can be computed again from the log."""
        database.create(_SCHEMA)
        found = database.row("SELECT value FROM feature_facts WHERE name = 'schema'", ())
        if found is not None and found[0] != schema:
            with database.transaction():
                database.execute("DELETE FROM features", ())
                database.execute("DELETE FROM feature_facts", ())


def _mark(name: str) -> str:
    return f"applied:{name}"
