"""A replica's own slates, and which of them are not on the log yet: written together, so that none is forgotten."""

from typing import Final

from backends.sqlite.database import Database
from backends.sqlite.slate_store import SqliteSlateStore
from core.slate import Slate, SlateDetail, decode_slate

# The log and its archive have what was shipped; here it is kept a little longer than an event may name it.
_KEEP_MS: Final = 8 * 86_400_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS slates_waiting (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS slates_shipped (time_ms INTEGER NOT NULL, id TEXT NOT NULL, PRIMARY KEY (time_ms, id))
  WITHOUT ROWID
"""
_WAITING = """
SELECT s.record, d.id, d.served, d.whole FROM slates_waiting w JOIN slates s ON s.id = w.id
LEFT JOIN slate_details d ON d.id = w.id
WHERE d.id IS NOT NULL OR w.time_ms < ? ORDER BY s.number LIMIT ?
"""
_OLD = "SELECT time_ms, id FROM slates_shipped WHERE time_ms < (SELECT max(time_ms) FROM slates_shipped) - ? LIMIT ?"


class SqliteSlateOutbox(SqliteSlateStore):
    """A SlateStore that remembers what waits to be shipped, and forgets what was shipped over a week ago."""

    def __init__(self, database: Database, keep_ms: int = _KEEP_MS) -> None:
        super().__init__(database)
        self._waiting, self._keep_ms = database, keep_ms
        database.create(_SCHEMA)

    async def append(self, slate: Slate) -> None:
        """Durable when it returns, and waiting."""
        with self._waiting.transaction():
            await super().append(slate)
            self._waiting.execute("INSERT OR IGNORE INTO slates_waiting VALUES (?, ?)", (slate.slate_id, slate.time_ms))

    async def waiting(self, limit: int, undetailed_before_ms: int) -> list[tuple[Slate, SlateDetail | None]]:
        """Oldest first; one without its detail only when it was served before this moment."""
        rows = self._waiting.rows(_WAITING, (undetailed_before_ms, limit))
        return [
            (decode_slate(record), SlateDetail(slate_id=name, served=served, full=full) if name is not None else None)
            for record, name, served, full in rows
        ]

    async def shipped(self, slate_ids: list[str]) -> None:
        """These are on the log."""
        ids = [(key,) for key in slate_ids]
        moved = "INSERT OR IGNORE INTO slates_shipped SELECT time_ms, id FROM slates_waiting WHERE id = ?"
        with self._waiting.transaction():
            self._waiting.execute_many(moved, ids)
            self._waiting.execute_many("DELETE FROM slates_waiting WHERE id = ?", ids)
            old = self._waiting.rows(_OLD, (self._keep_ms, 2 * len(ids)))
            for table in ("slates", "slate_details"):
                self._waiting.execute_many(f"DELETE FROM {table} WHERE id = ?", [(key,) for _, key in old])
            self._waiting.execute_many("DELETE FROM slates_shipped WHERE time_ms = ? AND id = ?", old)
