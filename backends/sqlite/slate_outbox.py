"""A replica's own slates, and which of them are not on the log yet: written together, so that none is forgotten."""

from backends.sqlite.database import Database
from backends.sqlite.slate_store import SqliteSlateStore
from core.slate import Slate, SlateDetail, decode_slate

_SCHEMA = "CREATE TABLE IF NOT EXISTS slates_waiting (id TEXT PRIMARY KEY, time_ms INTEGER NOT NULL) WITHOUT ROWID"
_WAITING = """
SELECT s.record, d.id, d.served, d.whole FROM slates_waiting w JOIN slates s ON s.id = w.id
LEFT JOIN slate_details d ON d.id = w.id
WHERE d.id IS NOT NULL OR w.time_ms < ? ORDER BY s.number LIMIT ?
"""


class SqliteSlateOutbox(SqliteSlateStore):
    """A SlateStore that remembers what waits to be shipped."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._waiting = database
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
        self._waiting.execute_many("DELETE FROM slates_waiting WHERE id = ?", ((key,) for key in slate_ids))
