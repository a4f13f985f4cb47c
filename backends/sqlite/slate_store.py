"""SlateStore on SQLite: an append is durable before the answer; an index by viewer."""

from collections.abc import Iterable

from backends.sqlite.database import Database, Row
from core.slate import Slate, SlateDetail, decode_slate, encode_slate

_SCHEMA = """
CREATE TABLE IF NOT EXISTS slates (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, viewer TEXT NOT NULL, session TEXT NOT NULL,
  record BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS slates_of_viewer ON slates (viewer, number);
CREATE TABLE IF NOT EXISTS slate_details (id TEXT PRIMARY KEY, served BLOB NOT NULL, whole BLOB NOT NULL)
"""


class SqliteSlateStore:
    """Served slates in a SQLite file, which must be opened durable."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def append(self, slate: Slate) -> None:
        """Durable when it returns; a slate id that is known keeps its first record."""
        viewer = slate.viewer_id if slate.session_id else ""  # what is in no session is not among the viewer's last
        self._database.execute(
            "INSERT OR IGNORE INTO slates (id, viewer, session, record) VALUES (?, ?, ?, ?)",
            (slate.slate_id, viewer, slate.session_id, encode_slate(slate)),
        )

    async def detail(self, detail: SlateDetail) -> None:
        """Keep what explains a slate."""
        self._database.execute(
            "INSERT OR REPLACE INTO slate_details VALUES (?, ?, ?)",
            (detail.slate_id, detail.served, detail.full),
        )

    async def get(self, slate_id: str) -> Slate | None:
        """The slate, None when unknown."""
        found = self._database.row("SELECT record FROM slates WHERE id = ?", (slate_id,))
        return None if found is None else decode_slate(found[0])

    async def get_detail(self, slate_id: str) -> SlateDetail | None:
        """Its detail, None when there is none."""
        found = self._database.row("SELECT * FROM slate_details WHERE id = ?", (slate_id,))
        if found is None:
            return None
        return SlateDetail(slate_id=found[0], served=found[1], full=found[2])

    async def latest(self, viewer_id: str, limit: int) -> list[Slate]:
        """The viewer's last slates of sessions, newest first."""
        sql = "SELECT record FROM slates WHERE viewer = ? ORDER BY number DESC LIMIT ?"
        return _slates(self._database.rows(sql, (viewer_id, limit)))

    async def recent(self, since_ms: int) -> list[Slate]:
        """Every slate served since, newest first, as far as a thousand in a row are no older."""
        found: list[Slate] = []
        before = 1 << 62
        sql = "SELECT number, record FROM slates WHERE number < ? ORDER BY number DESC LIMIT 1000"
        while rows := self._database.rows(sql, (before,)):
            before, young = rows[-1][0], [s for s in _slates((raw,) for _, raw in rows) if s.time_ms >= since_ms]
            found += young
            if not young:
                break
        return found

    async def logged(self, after: int, limit: int) -> list[tuple[int, Slate, SlateDetail | None]]:
        """At most `limit` slates after a place, each with its place and its detail where there is one."""
        sql = (
            "SELECT number, record, slate_details.id, served, whole FROM slates LEFT JOIN slate_details USING (id)"
            " WHERE number > ? ORDER BY number LIMIT ?"
        )
        return [
            (number, decode_slate(record), SlateDetail(slate_id=of, served=served, full=full) if of else None)
            for number, record, of, served, full in self._database.rows(sql, (after, limit))
        ]


def _slates(rows: Iterable[Row]) -> list[Slate]:
    return [decode_slate(raw) for (raw,) in rows]
