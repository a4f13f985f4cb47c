"""BlobStore in a folder: an object is a file that appears whole and is on the disk when `put` returns."""

import asyncio
import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from core.errors import InputError, NotFound, StorageFull, Unavailable

_UNFINISHED: Final = ".unfinished"
_ABANDONED_S: Final = 3_600
_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_CLASHES: Final = {errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST}
_MOST_KEY_BYTES: Final = 1_024
_MOST_PART_BYTES: Final = 255


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """The operating system's errors as StorageFull, InputError or Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(f"No space is left for {what}; free some and try again.") from error
        if error.errno in _CLASHES:
            raise InputError(
                f"The key of {what} is also the folder of other objects, or goes through one; choose another key."
            ) from error
        raise Unavailable(
            f"{what[:1].upper()}{what[1:]} cannot be used ({error.strerror}); is its disk there, and may this process"
            " read and write it?"
        ) from error


class FolderBlobStore:
    """Objects under `root`, each a file; several processes may share it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        with _translated(f"the folder {root}"):
            (root / _UNFINISHED).mkdir(parents=True, exist_ok=True)
            self._sweep()

    async def put(self, key: str, value: bytes) -> None:
        """Durable when it returns; replaces. Raises InputError, Unavailable, StorageFull."""
        await asyncio.to_thread(self._put, key, value)

    async def get(self, key: str) -> bytes:
        """The object; NotFound when there is none."""
        return await asyncio.to_thread(self._get, key)

    async def list(self, prefix: str) -> list[str]:
        """The keys that start with the prefix, sorted."""
        return await asyncio.to_thread(_keys_under, self._root, prefix)

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the objects; unknown keys are no error."""
        await asyncio.to_thread(self._delete, keys)

    def _put(self, key: str, value: bytes) -> None:
        path, unfinished = self._path(key), self._root / _UNFINISHED / token_hex(16)
        with _translated(f"the object {key} in {self._root}"):
            try:
                with unfinished.open("wb") as file:
                    file.write(value)
                    file.flush()
                    os.fsync(file.fileno())
                self._make(path.parent)
                os.replace(unfinished, path)
                _sync(path.parent)
            finally:
                with suppress(OSError):
                    unfinished.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """The folder and those above it, each durable in the one that holds it."""
        missing = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for each in reversed(missing):
            each.mkdir(exist_ok=True)
            _sync(each.parent)

    def _get(self, key: str) -> bytes:
        path = self._path(key)
        with _translated(f"the object {key} in {self._root}"):
            try:
                return path.read_bytes()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise NotFound(f"There is no object {key} in {self._root}; list what there is.") from error

    def _delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            path = self._path(key)
            with _translated(f"the object {key} in {self._root}"), suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                _sync(path.parent)

    def _path(self, key: str) -> Path:
        return self._root.joinpath(*_parts(key))

    def _sweep(self) -> None:
        """Drop what processes that were killed left half written."""
        for path in (self._root / _UNFINISHED).iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()


def _keys_under(root: Path, prefix: str) -> list[str]:
    """The keys that start with the prefix, sorted; only folders that can hold one are looked into."""
    start = root.joinpath(*_parts(prefix.rpartition("/")[0])) if "/" in prefix else root
    with _translated(f"the folder {start}"):
        return sorted(key for key in _files(root, start) if key.startswith(prefix))


def _files(root: Path, start: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(start, onerror=_raise_unless_gone):
        if _UNFINISHED in folders and Path(folder) == root:
            folders.remove(_UNFINISHED)
        at = Path(folder).relative_to(root)
        yield from ((at / name).as_posix() for name in files)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _parts(key: str) -> list[str]:
    """The names that a key is made of; InputError for a key that is none, or leads out of the store."""
    parts = key.split("/")
    bad = "\0" in key or len(key.encode(errors="replace")) > _MOST_KEY_BYTES or parts[0] == _UNFINISHED
    if bad or any(part in ("", ".", "..") or len(part.encode(errors="replace")) > _MOST_PART_BYTES for part in parts):
        raise InputError(
            f"The object key {key[:80]!r} cannot be used; write names of 1 to {_MOST_PART_BYTES} bytes between single"
            f" slashes, none of them '.' or '..', {_MOST_KEY_BYTES:,} bytes at most."
        )
    return parts


def _sync(folder: Path) -> None:
    """Make what was renamed into a folder durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
