"""One SQLite file: its connection, its transactions, and the one place where its errors become core's."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Final

from core.errors import CorruptData, StorageFull, Unavailable

Row = tuple[Any, ...]

_IN_CHUNK: Final = 500
_CORRUPT: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNAVAILABLE: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
}


@contextmanager
def translated(path: Path, remedy: str) -> Iterator[None]:
    """SQLite's errors about `path` as StorageFull, CorruptData or Unavailable; bugs pass unchanged."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StorageFull(
                f"No space is left for {path}; free some and try again (nothing acknowledged is lost)."
            ) from error
        if code in _CORRUPT:
            raise CorruptData(f"The file {path} is damaged ({error}); {remedy}.") from error
        if code in _UNAVAILABLE:
            raise Unavailable(
                f"The database {path} does not answer ({error}); is another process holding it, and may this"
                " one write there?"
            ) from error
        raise


class Database:
    """A SQLite file in WAL mode, shared by the stores that are given it.

    `durable`: each commit is on the disk before it returns; else a power cut (not a crash of the process) may
    take back the last transactions, whole ones, in order. One connection: calls from several threads take turns.
    """

    def __init__(
        self,
        path: Path,
        *,
        durable: bool,
        remedy: str = "restore a copy, or move it away and build it again from the log",
        cache_bytes: int = 64 << 20,
        busy_ms: int = 5_000,
    ) -> None:
        self.path = path
        self._remedy = remedy
        self._lock = RLock()
        self._depth = 0
        self._on_rollback: list[Callable[[], None]] = []
        with self._translated():
            self._connection = self._open(durable, cache_bytes, busy_ms)

    def _open(self, durable: bool, cache_bytes: int, busy_ms: int) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"The folder {self.path.parent} cannot be made ({error.strerror}); choose another home."
            ) from error
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
        for pragma in (
            f"busy_timeout = {busy_ms}",
            "page_size = 8192",
            "journal_mode = WAL",
            f"synchronous = {'FULL' if durable else 'NORMAL'}",
            f"cache_size = -{cache_bytes >> 10}",
            "wal_autocheckpoint = 4000",
            f"journal_size_limit = {64 << 20}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _translated(self) -> Any:
        return translated(self.path, self._remedy)

    def on_rollback(self, forget: Callable[[], None]) -> None:
        """Call `forget` whenever a transaction is undone, so that caches drop what was not kept."""
        self._on_rollback.append(forget)

    def create(self, script: str) -> None:
        """Create tables and indices, once."""
        with self.transaction():
            for statement in filter(str.strip, script.split(";")):
                self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; a transaction inside another joins it.

        The body may await stores on this database (they never suspend) and must not await anything else.
        """
        with self._lock, self._translated():
            if self._depth:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._undo()
                raise
            finally:
                self._depth = 0

    def _undo(self) -> None:
        if self._connection.in_transaction:  # SQLite has undone it by itself when the disk is full
            self._connection.execute("ROLLBACK")
        for forget in self._on_rollback:
            forget()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Every row of a query."""
        with self._lock, self._translated():
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """The first row of a query."""
        with self._lock, self._translated():
            found: Row | None = self._connection.execute(sql, parameters).fetchone()
            return found

    def stream(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows of a query one after the other, without holding them all."""
        with self._translated():
            yield from self._connection.execute(sql, parameters)

    def select_in(self, sql: str, keys: Sequence[Any], before: Sequence[Any] = ()) -> Iterator[Row]:
        """Rows of `sql`, which ends in `IN`, for any number of keys; `before` fills its earlier places."""
        for start in range(0, len(keys), _IN_CHUNK):
            part = keys[start : start + _IN_CHUNK]
            yield from self.rows(f"{sql} ({','.join('?' * len(part))})", (*before, *part))

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """One statement in a transaction."""
        with self.transaction():
            self._connection.execute(sql, parameters)

    def execute_many(self, sql: str, parameters: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
        """One statement for many rows in a transaction."""
        with self.transaction():
            self._connection.executemany(sql, parameters)

    def data_version(self) -> int:
        """A number that changes when another connection has written."""
        found = self.row("PRAGMA data_version")
        return int(found[0]) if found else 0

    def close(self) -> None:
        """Release the file; the write-ahead log is folded in where this is the last user."""
        with self._lock, self._translated():
            self._connection.close()
