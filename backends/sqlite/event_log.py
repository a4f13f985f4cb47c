"""EventLog on SQLite: an append is one durable transaction, and an id that is known is not written again."""

from collections.abc import Sequence
from hashlib import blake2b

from backends.sqlite.database import Database
from core.events import Event, decode, encode
from core.ports import Appended, Record

# The id index holds a 16-byte hash, not the id (up to 128 characters): every entry is small and of one size,
# so the index of ten million events is a few hundred MB, and two ids collide with probability 2^-80 there.
# Ids are random, so each batch is sorted by hash before it meets the index: neighbours share pages.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (offset INTEGER PRIMARY KEY, event BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS ids (hash BLOB PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumers (name TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
"""


class SqliteEventLog:
    """EventLog in one SQLite file, which must be opened durable; offsets have no gaps."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Durable when it returns; an event whose id is known keeps its first offset and content."""
        hashes = [_hash(event.event_id) for event in events]
        keys = sorted(set(hashes))
        database = self._database
        with database.transaction():
            known: dict[bytes, int] = dict(database.select_in("SELECT hash, offset FROM ids WHERE hash IN", keys))
            answer, fresh = _place(hashes, known, self._end())
            database.execute_many(
                "INSERT INTO events VALUES (?, ?)",
                ((offset, encode(events[index])) for index, offset in fresh),
            )
            database.execute_many(
                "INSERT INTO ids VALUES (?, ?)",
                sorted((hashes[index], offset) for index, offset in fresh),
            )
        return answer

    async def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records above `after`; SchemaMismatch where another version wrote one."""
        sql = "SELECT offset, event FROM events WHERE offset > ? ORDER BY offset LIMIT ?"
        return [Record(offset, decode(raw)) for offset, raw in self._database.rows(sql, (after, limit))]

    async def end(self) -> int:
        """The last offset, 0 when empty."""
        return self._end()

    async def committed(self, group: str) -> int:
        """The group's offset, 0 at first."""
        found = self._database.row("SELECT offset FROM consumers WHERE name = ?", (group,))
        return int(found[0]) if found else 0

    async def commit(self, group: str, offset: int) -> None:
        """Remember the group's offset, durably; going back is allowed, for a replay."""
        self._database.execute("INSERT OR REPLACE INTO consumers VALUES (?, ?)", (group, offset))

    def _end(self) -> int:
        found = self._database.row("SELECT max(offset) FROM events")
        return int(found[0] or 0) if found else 0


def _hash(event_id: str) -> bytes:
    return blake2b(event_id.encode(), digest_size=16).digest()


def _place(hashes: Sequence[bytes], known: dict[bytes, int], end: int) -> tuple[list[Appended], list[tuple[int, int]]]:
    """The answer for each event, and (index, offset) of each that must be written."""
    answer: list[Appended] = []
    fresh: list[tuple[int, int]] = []
    for index, key in enumerate(hashes):
        offset = known.get(key)
        if offset is None:
            end += 1
            known[key] = offset = end
            fresh.append((index, offset))
            answer.append(Appended(offset, False))
        else:
            answer.append(Appended(offset, True))
    return answer, fresh
