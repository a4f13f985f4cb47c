"""TrendState on SQLite: the one file of a home, or one file for each partition of the stream."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from backends.sqlite.database import Database
from backends.sqlite.partition_state import SqlitePartitionState, SqlitePartitionStates
from core.ports import Advance
from core.trends import Mark, PointsRow, Standing, TrendStep, WindowRow

# A mark's key is a hash, so that looking one up is looking up a number; videos and regions share one list of words.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS words (code INTEGER PRIMARY KEY, word TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS standings (viewer TEXT PRIMARY KEY, first_ms INTEGER NOT NULL, impressions INTEGER NOT NULL,
  day INTEGER NOT NULL, days INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS marks (key INTEGER PRIMARY KEY, hour INTEGER NOT NULL, units INTEGER NOT NULL,
  region INTEGER NOT NULL, time_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS sums (hour INTEGER NOT NULL, video INTEGER NOT NULL, region INTEGER NOT NULL,
  views INTEGER NOT NULL, likes INTEGER NOT NULL, shares INTEGER NOT NULL, points INTEGER NOT NULL,
  PRIMARY KEY (hour, video, region)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sweep (one INTEGER PRIMARY KEY CHECK (one = 1), key INTEGER NOT NULL)
"""
_REMEDY: Final = "move it away; what it counted is counted again from the log"
_LEAST, _SPAN = -(1 << 63), 1 << 64


class SqliteTrendState:
    """Counts in a SQLite file that other processes may share.

    Where one alone has it, it holds a `lock`, which is let go at the end, and up to `waiting_bytes` of event ids may
    wait in the file as they came before they go to their table together.
    """

    def __init__(self, database: Database, lock: int | None = None, waiting_bytes: int = 0) -> None:
        self._database, self._lock, self._waiting_bytes = database, lock, waiting_bytes
        database.create(_SCHEMA)
        self._partition: SqlitePartitionState | None = None
        self._codes: dict[str, int] = {}
        self._words: dict[int, str] = {}
        database.on_rollback(self._forget)

    def step(self) -> AbstractContextManager[None]:
        """What is read and committed inside is one transaction, and nobody else's comes between."""
        return self._database.transaction()

    @property
    def _place(self) -> SqlitePartitionState:
        """Offset and event ids, which this file has as any state of a partition."""
        if self._partition is None:
            self._partition = SqlitePartitionState(self._database, lock=self._lock, waiting_bytes=self._waiting_bytes)
        return self._partition

    def position(self) -> int:
        """The offset that the counts include, 0 at first."""
        return self._place.position()[0]

    def standings(self, viewers: Sequence[str]) -> dict[str, Standing]:
        """Those that are known."""
        sql = "SELECT viewer, first_ms, impressions, day, days FROM standings WHERE viewer IN"
        return {viewer: Standing(*rest) for viewer, *rest in self._database.select_in(sql, viewers)}

    def marks(self, keys: Sequence[int]) -> dict[int, Mark]:
        """Those that are known, by key."""
        found = list(
            self._database.select_in("SELECT key, hour, units, region, time_ms FROM marks WHERE key IN", sorted(keys))
        )
        words = self._read({region for _, _, _, region, _ in found})
        return {key: Mark(hour, units, words[region], time_ms) for key, hour, units, region, time_ms in found}

    def seen(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Which event ids are known, with the time that each was first seen, ms."""
        return self._place.seen(hashes)

    def commit(self, step: TrendStep) -> None:
        """All of a micro-batch or nothing of it; nothing where the counts are further already."""
        with self._database.transaction():
            if self.position() > step.offset:
                return
            sums = {key: change for key, change in step.sums.items() if any(change)}
            regions = {region for _, _, region in sums} | {mark.region for mark in step.marks.values()}
            codes = self._coded(regions | {video for _, video, _ in sums})
            self._database.execute_many(
                "INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?, ?)",
                ((viewer, *standing) for viewer, standing in step.standings.items()),
            )
            self._database.execute_many(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?)",
                sorted((key, m.hour, m.units, codes[m.region], m.time_ms) for key, m in step.marks.items()),
            )
            self._database.execute_many(
                "INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (hour, video, region) DO UPDATE SET"
                " views = views + excluded.views, likes = likes + excluded.likes, shares = shares + excluded.shares,"
                " points = points + excluded.points",
                sorted((hour, codes[video], codes[region], *change) for (hour, video, region), change in sums.items()),
            )
            self._place.commit(Advance(step.offset, event_ids=step.event_ids))

    def window(self, after: int, until: int) -> list[WindowRow]:
        """What counts in the hours after `after` up to `until`, by video and region."""
        rows = self._database.rows(
            "SELECT video, region, sum(views), sum(likes), sum(shares),"
            " max(CASE WHEN views OR likes OR shares THEN hour END) AS last"
            " FROM sums WHERE hour > ? AND hour <= ? GROUP BY video, region HAVING last IS NOT NULL",
            (after, until),
        )
        words = self._read({code for row in rows for code in row[:2]})
        return [WindowRow(words[video], words[region], *rest) for video, region, *rest in rows]

    def points(self, after: int, until: int) -> list[PointsRow]:
        """Raw points in the hours after `after` up to `until`."""
        rows = self._database.rows(
            "SELECT video, region, hour, points FROM sums WHERE hour > ? AND hour <= ? AND points != 0", (after, until)
        )
        words = self._read({code for row in rows for code in row[:2]})
        return [PointsRow(words[video], words[region], hour, points) for video, region, hour, points in rows]

    def forget(self, before: int, share: float) -> None:
        """Drop the sums of earlier hours, and marks of earlier hours among a `share` of all, the next in turn."""
        with self._database.transaction():
            self._database.execute("DELETE FROM sums WHERE hour < ?", (before,))
            found = self._database.row("SELECT key FROM sweep")
            start = int(found[0]) if found else _LEAST
            end = min(start + int(share * _SPAN), _LEAST + _SPAN - 1)
            self._database.execute("DELETE FROM marks WHERE key BETWEEN ? AND ? AND hour < ?", (start, end, before))
            following = _LEAST if end == _LEAST + _SPAN - 1 else end
            self._database.execute("INSERT OR REPLACE INTO sweep VALUES (1, ?)", (following,))

    def copy(self, to: Path) -> int:
        """Write a whole copy into a new file, while others go on; the offset that it includes."""
        return self._place.copy(to)

    def close(self) -> None:
        """Let go of the file and of its lock."""
        self._place.close()

    def _coded(self, words: set[str]) -> dict[str, int]:
        """Codes of words, new ones for new words."""
        unknown = [word for word in words if word not in self._codes]
        if unknown:
            self._database.execute_many("INSERT OR IGNORE INTO words (word) VALUES (?)", ((word,) for word in unknown))
            found = self._database.select_in("SELECT word, code FROM words WHERE word IN", unknown)
            self._learn({code: word for word, code in found})
        return self._codes

    def _read(self, codes: set[int]) -> dict[int, str]:
        unknown = [code for code in codes if code not in self._words]
        if unknown:
            self._learn(dict(self._database.select_in("SELECT code, word FROM words WHERE code IN", unknown)))
        return self._words

    def _learn(self, words: dict[int, str]) -> None:
        self._words.update(words)
        self._codes.update((word, code) for code, word in words.items())

    def _forget(self) -> None:
        """A transaction was undone, and with it the words and the tables of event ids that it brought."""
        self._codes.clear()
        self._words.clear()
        self._partition = None


class SqliteTrendStates(SqlitePartitionStates):
    """The files of a host's partitions, each with a lock, as the other states of the stream."""

    def open_trend(self, name: str) -> SqliteTrendState:
        """The counts, empty ones at first; Unavailable while another process has them."""
        lock = self._locked(name)
        try:
            database = Database(self._file(name), durable=False, remedy=_REMEDY, cache_bytes=self._cache_bytes)
            return SqliteTrendState(database, lock, self._waiting_bytes)
        except BaseException:
            os.close(lock)
            raise
