"""Room for large arrays: files of a folder mapped into memory, so that a log of any size leaves memory free."""

import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

from core.arrays import Array
from core.errors import StorageFull

LEAST_BYTES = 64 << 20
BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Room:
    """Arrays of at least `least_bytes` are files of `folder`, smaller ones and all without a folder are in memory.

    A file has no name: its space is free again once nobody holds the array, also after a kill."""

    folder: Path | None = None
    least_bytes: int = LEAST_BYTES

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        """An array to be filled. StorageFull where the disk has no place for all of it."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self.folder is None or size < self.least_bytes:
            return np.zeros(shape, dtype)
        return self._mapped(self.folder, size, shape, dtype)

    def _mapped(self, folder: Path, size: int, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                # All of it at once: a page that finds no place later would end the process with SIGBUS.
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise StorageFull(f"{folder} has no room for {size:,} bytes; free some and start again.") from error
                raise
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))


MEMORY = Room()


class Growing:
    """An array [n] of which more and more is known: in memory while it is small, else in a file of the room."""

    def __init__(self, room: Room, dtype: DTypeLike) -> None:
        self._room, self._dtype, self._parts, self._size = room, np.dtype(dtype), list[Array](), 0
        self._file: IO[bytes] | None = None

    def add(self, part: Array) -> None:
        """Append [m]. OSError where the disk is full."""
        self._parts.append(np.asarray(part, self._dtype))
        self._size += len(part)
        if self._room.folder is not None and self._size * self._dtype.itemsize >= self._room.least_bytes:
            if self._file is None:
                self._room.folder.mkdir(parents=True, exist_ok=True)
                self._file = tempfile.TemporaryFile(dir=self._room.folder)  # noqa: SIM115 it stays open
            self._file.write(self._known().data)
            self._parts.clear()

    def whole(self) -> Array:
        """All of it. [n]"""
        if self._file is None:
            return self._known()
        with self._file as file:
            file.flush()
            return np.asarray(np.memmap(file, self._dtype, "r+", shape=self._size))

    def _known(self) -> Array:
        return np.concatenate([np.zeros(0, self._dtype), *self._parts])


def blocks(size: int, block: int = BLOCK) -> Iterator[slice]:
    """Slices that cover `size` elements, so that what is computed of a mapped array is never all in memory."""
    for start in range(0, size, block):
        yield slice(start, min(size, start + block))
