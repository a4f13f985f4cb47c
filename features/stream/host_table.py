"""The counters of a host: files of rows that one applier writes and every replica maps read-only."""

import fcntl
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np

from core.arrays import Array, Int64
from core.errors import ContractError, Unavailable
from features.layout import COUNTS_DTYPE, STAMP
from features.packed import pack_rows, record_of, schema_number
from features.raw import Counts

_STEP: Final = 1 << 16  # rows by which a file grows; what nobody wrote takes no room on the disk
_WORDS: Final = COUNTS_DTYPE.itemsize // 8
_VERSION: Final = [name for name, _ in STAMP].index("version")


class MappedCounters:
    """`features.state.CounterRows` over a file, which any process may lengthen and one writes.

    A row is written version last: while it is being written its version is negative, so that a reader who finds the
    same versions, none of them negative, before and after a read has read whole rows.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        self._path, self._writable = path, writable
        self.records: Array = np.zeros(0, COUNTS_DTYPE)
        self._counts = Counts(*(self.records[name] for name in Counts._fields))
        self.ensure(1)

    @property
    def counts(self) -> Counts:
        """The rows by field, as the kernels take them."""
        return self._counts

    def ensure(self, rows: int) -> None:
        """Have at least this many rows: map the file anew, longer where it must be."""
        if rows <= len(self.records):
            return
        with _file(self._path) as file:
            size = _lengthened(file, -(-rows // _STEP) * _STEP * COUNTS_DTYPE.itemsize)
            access = mmap.ACCESS_WRITE if self._writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file, size, access=access)
        self.records = np.frombuffer(self._map, COUNTS_DTYPE)
        self._counts = Counts(*(self.records[name] for name in Counts._fields))

    def pack(self, rows: Sequence[int]) -> list[bytes]:
        """Rows as bytes."""
        return pack_rows(self.records[np.asarray(rows, np.int64)])

    def unpack(self, row: int, raw: bytes | None) -> None:
        """Restore a row; for the applier alone."""
        self.put(np.array([row]), record_of(raw, COUNTS_DTYPE) if raw is not None else np.zeros(1, COUNTS_DTYPE))

    def put(self, rows: Array, records: Array) -> None:
        """Write rows [n], all different, so that no reader takes a torn one for whole; records [n] COUNTS_DTYPE.

        A row that is newer here already is left as it is.
        """
        if not self._writable:
            raise ContractError("Only the applier writes a host's counters.")
        self.ensure(int(rows.max(initial=-1)) + 1)
        newer = records["version"] >= self.records["version"][rows]
        rows, words = rows[newer], records[newer].view(np.int64).reshape(-1, _WORDS)
        mine: Int64 = self.records.view(np.int64).reshape(-1, _WORDS)
        mine[rows, _VERSION] = -1 - words[:, _VERSION]
        mine[rows, _VERSION + 1 :] = words[:, _VERSION + 1 :]
        mine[rows, :_VERSION] = words[:, :_VERSION]
        mine[rows, _VERSION] = words[:, _VERSION]

    def clear(self) -> None:
        """Empty every row; for the applier alone."""
        if not self._writable:
            raise ContractError("Only the applier writes a host's counters.")
        mine: Int64 = self.records.view(np.int64).reshape(-1, _WORDS)
        used = np.flatnonzero(mine.any(axis=1))
        mine[used, _VERSION] = -1
        mine[used, _VERSION + 1 :] = 0
        mine[used, :_VERSION] = 0
        mine[used, _VERSION] = 0

    def damaged(self) -> bool:
        """Whether any row is not what was written: left half-written, or changed on the disk."""
        used = np.flatnonzero(self.records["schema"] != 0)
        if (self.records["version"] < 0).any() or (self.records["schema"][used] != schema_number()).any():
            return True
        kept = np.ascontiguousarray(self.records[used])
        raw, size, head = memoryview(kept.tobytes()), COUNTS_DTYPE.itemsize, 8 * _VERSION
        sums = [crc32(raw[start + head : start + size]) for start in range(0, len(raw), size)]
        return bool((kept["checksum"] != np.array(sums, np.int64)).any())

    def flush(self) -> None:
        """What was written is on the disk when it returns."""
        if self._writable:
            self._map.flush()


class HostTables:
    """The videos', authors' and trends' counters of a host, in one folder; rows of another schema have other files."""

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self.folder = folder
        self.by_entity = {
            entity: MappedCounters(folder / f"{entity}-{schema_number():015x}.rows", writable=writable)
            for entity in ("video", "author", "trend")
        }

    @property
    def counters(self) -> tuple[MappedCounters, MappedCounters, MappedCounters]:
        """Videos, authors, trends, as FeatureState takes them."""
        return self.by_entity["video"], self.by_entity["author"], self.by_entity["trend"]


@contextmanager
def _file(path: Path) -> Iterator[int]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unavailable(f"The host's counters {path} cannot be opened ({error.strerror}).") from error
    try:
        yield file
    finally:
        os.close(file)


def _lengthened(file: int, size: int) -> int:
    """Make the file at least this long, never shorter; its length."""
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        found = os.fstat(file).st_size
        if found < size:
            os.ftruncate(file, size)
        return max(found, size)
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
