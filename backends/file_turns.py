"""Turns among the processes of one home: a lock on a file, which ends with the process that holds it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final
from zlib import crc32

_FILES: Final = 256
_PAUSE_S: Final = 0.005


class FileTurns:
    """One request of a viewer at a time; who waits longer than `wait_ms`, or may not write here, goes on without."""

    def __init__(self, folder: Path, wait_ms: int) -> None:
        self._folder, self._wait_s = folder, wait_ms / 1000

    @asynccontextmanager
    async def of(self, viewer_id: str) -> AsyncIterator[None]:
        """A block in which no other request of this viewer is."""
        file = self._open(self._folder / str(crc32(viewer_id.encode()) % _FILES))
        try:
            await self._wait(file)
            yield
        finally:
            if file is not None:
                os.close(file)  # and the lock with it

    def _open(self, path: Path) -> int | None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return None

    async def _wait(self, file: int | None) -> None:
        end = time.monotonic() + self._wait_s
        while file is not None:
            try:
                return flock(file, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    return None
            except OSError:
                return None
            await asyncio.sleep(_PAUSE_S)
