"""PartitionState on SQLite: one file for each partition of the stream, a lock on it, one transaction a micro-batch."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Final

import numpy as np

from backends.sqlite.database import Database, translated
from backends.sqlite.steps import Step, Steps
from core.errors import Unavailable
from core.ports import Advance
from core.sparse import squeeze, unsqueeze_all

# Rows are kept without their zeros: a viewer's packed row is 4.6 KB, of which a usual viewer's state fills a part.
# Event ids are two halves of a 16-byte hash. They live in generations: looked up in the last two, written to the last;
# a new one begins when the last is `keep_ms` old, and what is older than two is dropped whole.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rows (place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL,
  row BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watermarks (source INTEGER PRIMARY KEY, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS generations (number INTEGER PRIMARY KEY, start_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS steps (number INTEGER PRIMARY KEY, step BLOB NOT NULL)
"""
_REMEDY: Final = "move it away; the worker then starts from the last snapshot and replays the topic"
_DAY_MS: Final = 86_400_000
_IDS_AT_ONCE: Final = 256  # ids of one INSERT: one by one they take twice the time
_halves: Final = Struct("<qq").pack


class SqlitePartitionState:
    """The state of one partition in a SQLite file; `left` is called when it is closed.

    Up to `waiting_bytes` of micro-batches wait in the file as they came, before their rows and event ids go to their
    tables together. They wait in the memory of the one who committed them: a file with several writers has none.
    """

    def __init__(
        self,
        database: Database,
        keep_ms: int = 8 * _DAY_MS,
        lock: int | None = None,
        waiting_bytes: int = 0,
        left: "Callable[[SqlitePartitionState], None] | None" = None,
    ) -> None:
        self._database, self._keep_ms, self._lock, self._left = database, keep_ms, lock, left
        database.create(_SCHEMA)
        found = database.rows("SELECT number, start_ms FROM generations ORDER BY number")
        self._generations: dict[int, int] = {int(number): int(start) for number, start in found}
        self._steps = Steps(database, waiting_bytes)

    def bound(self, waiting_bytes: int) -> None:
        """So much may wait from now on."""
        self._steps.most_bytes = waiting_bytes

    def position(self) -> tuple[int, dict[int, int]]:
        """The offset that the state includes (0 at first), and its watermarks by source."""
        watermarks = self._database.rows("SELECT source, offset FROM watermarks")
        return self._offset(), {int(source): int(offset) for source, offset in watermarks}

    def _offset(self) -> int:
        found = self._database.row("SELECT value FROM facts WHERE name = 'offset'")
        return int(found[0]) if found else 0

    def rows(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The rows that exist, by id."""
        waiting = self._steps.rows
        found = {key: waiting[key][1] for key in ids if key in waiting}
        others = [key for key in ids if key not in waiting] if found else ids
        found.update(self._database.select_in("SELECT id, row FROM rows WHERE id IN", others))
        return dict(zip(found, unsqueeze_all(list(found.values())), strict=True))

    def seen(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Which event ids are known, with the time that each was first seen, ms."""
        firsts: list[int] = np.sort(np.frombuffer(b"".join(hashes), "<i8")[::2]).tolist()
        stored: list[tuple[int, int, int]] = []
        for number in self._generations:
            sql = f"SELECT first, second, at_ms FROM ids_{number} WHERE first IN"
            stored += self._database.select_in(sql, firsts)
        times = {_halves(first, second): at_ms for first, second, at_ms in stored}
        found = {raw: times[raw] for raw in hashes if raw in times} if times else {}
        return found | self._steps.known(hashes)

    def commit(self, advance: Advance) -> None:
        """All of a micro-batch or nothing of it."""
        rows = list(advance.rows) if advance.squeezed else _squeezed(advance.rows)
        step = Step(rows, dict(advance.event_ids))
        waits = self._steps.fits(step)
        with self._stored():
            # A writer that was replaced may come late: what it would write was done again, and more since.
            if self._offset() > advance.offset:
                return
            if waits:
                self._steps.append(step)
            else:
                self._fold(step)
            self._database.execute_many(
                "INSERT OR REPLACE INTO watermarks VALUES (?, ?)", list(advance.watermarks.items())
            )
            self._database.execute("INSERT OR REPLACE INTO facts VALUES ('offset', ?)", (advance.offset,))
        if waits:
            self._steps.took(step)
        else:
            self._steps.forget()

    @contextmanager
    def _stored(self) -> Iterator[None]:
        """One transaction; what is known of the file stays true when it is undone."""
        generations = dict(self._generations)
        try:
            with self._database.transaction():
                yield
        except BaseException:
            self._generations = generations
            raise

    def _fold(self, last: Step) -> None:
        """Everything that waits, and this step, into the tables."""
        step = self._steps.folded(last)
        if step.ids:
            self._turn(max(step.ids.values()))
            self._remember(step.ids)
        self._database.execute_many(
            "INSERT INTO rows (id, version, row) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET version = excluded.version, row = excluded.row",
            step.rows,
        )

    def _remember(self, ids: dict[bytes, int]) -> None:
        """Put event ids into the last generation, in the order of its table."""
        values = np.empty((len(ids), 3), np.int64)
        values[:, :2] = np.frombuffer(b"".join(ids), "<i8").reshape(-1, 2)
        values[:, 2] = np.fromiter(ids.values(), np.int64, len(ids))
        ordered: list[int] = values[values[:, 0].argsort()].reshape(-1).tolist()
        sql = f"INSERT OR REPLACE INTO ids_{max(self._generations)} VALUES "
        whole = len(ids) // _IDS_AT_ONCE * _IDS_AT_ONCE
        for first, last, count in ((0, whole, _IDS_AT_ONCE), (whole, len(ids), 1)):
            rows = [ordered[3 * at : 3 * (at + count)] for at in range(first, last, count)]
            self._database.execute_many(sql + ", ".join(["(?, ?, ?)"] * count), rows)

    def _turn(self, now_ms: int) -> None:
        """Begin a generation of event ids when the last one is old, and drop what is older than two."""
        last = max(self._generations, default=0)
        if last and now_ms < self._generations[last] + self._keep_ms:
            return
        self._database.execute("INSERT INTO generations VALUES (?, ?)", (last + 1, now_ms))
        self._database.execute(
            f"CREATE TABLE ids_{last + 1} (first INTEGER PRIMARY KEY, second INTEGER NOT NULL, at_ms INTEGER NOT NULL)"
        )
        for number in [number for number in self._generations if number < last]:
            self._database.execute(f"DROP TABLE ids_{number}")
            self._database.execute("DELETE FROM generations WHERE number = ?", (number,))
            del self._generations[number]
        self._generations[last + 1] = now_ms

    def rows_since(self, version: int, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """Rows with a version above `version`, by place, beyond the place `after`."""
        if self._steps.rows or self._steps.ids:
            with self._stored():
                self._fold(Step([], {}))
            self._steps.forget()
        sql = "SELECT place, id, row FROM rows WHERE place > ? AND version > ? ORDER BY place LIMIT ?"
        found = self._database.rows(sql, (after, version, limit))
        raws = unsqueeze_all([raw for _, _, raw in found])
        return [(int(place), key, raw) for (place, key, _), raw in zip(found, raws, strict=True)]

    def copy(self, to: Path) -> int:
        """Write a whole copy into a new file, on a connection of its own; the offset that it includes."""
        with translated(to, _REMEDY):
            source = sqlite3.connect(self._database.path)
            try:
                source.execute("VACUUM INTO ?", (str(to),))
            finally:
                source.close()
        return _offset_in(to)

    def close(self) -> None:
        """Let go of the file and of its lock."""
        self._database.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._left is not None:
            self._left(self)


class SqlitePartitionStates:
    """The state files in a folder; a process that opens one has its lock until it closes it or ends. Those that it has
    open divide `waiting_bytes` among them, in equal parts."""

    def __init__(
        self, folder: Path, keep_ms: int = 8 * _DAY_MS, cache_bytes: int = 16 << 20, waiting_bytes: int = 128 << 20
    ) -> None:
        self._folder, self._keep_ms = folder, keep_ms
        self._cache_bytes, self._waiting_bytes = cache_bytes, waiting_bytes
        self._open: list[SqlitePartitionState] = []

    def offset(self, name: str) -> int:
        """The offset that the state includes, 0 where there is none."""
        path = self._file(name)
        return _offset_in(path) if path.exists() else 0

    def open(self, name: str) -> SqlitePartitionState:
        """The state, an empty one at first; Unavailable while another process has it."""
        lock = self._locked(name)
        try:
            database = Database(self._file(name), durable=False, remedy=_REMEDY, cache_bytes=self._cache_bytes)
            state = SqlitePartitionState(database, self._keep_ms, lock, self._waiting_bytes, self._closed)
        except BaseException:
            os.close(lock)
            raise
        self._open.append(state)
        self._divide()
        return state

    def _closed(self, state: SqlitePartitionState) -> None:
        self._open = [other for other in self._open if other is not state]
        self._divide()

    def _divide(self) -> None:
        for state in self._open:
            state.bound(self._waiting_bytes // len(self._open))

    def replace(self, name: str, copy: Path) -> None:
        """Put a copy in the place of a state that nobody has open; the copy is moved."""
        lock = self._locked(name)
        try:
            path = self._file(name)
            for old in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                old.unlink(missing_ok=True)
            os.replace(copy, path)
        finally:
            os.close(lock)

    def _locked(self, name: str) -> int:
        """An open file that holds the lock of a state."""
        path = self._folder / f"{name}.lock"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise Unavailable(
                f"The lock {path} cannot be made ({error.strerror}); may this process write there?"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise Unavailable(f"The state {name} in {self._folder} is held by another process; wait for it.") from error
        return lock

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.db"


def _offset_in(path: Path) -> int:
    """The offset that a state file includes."""
    with translated(path, _REMEDY):
        connection = sqlite3.connect(path)
        try:
            # A process that was killed as it made the file left it without tables.
            made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone()
            found = connection.execute("SELECT value FROM facts WHERE name = 'offset'").fetchone() if made else None
        finally:
            connection.close()
    return int(found[0]) if found else 0


def _squeezed(rows: Sequence[tuple[str, int, bytes]]) -> list[tuple[str, int, bytes]]:
    small = squeeze([raw for _, _, raw in rows])
    return [(key, version, raw) for (key, version, _), raw in zip(rows, small, strict=True)]
