"""One training at a time in a home: two would write over each other's rows, and each judge a champion that goes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from core.errors import ConfigError

LOCK: Final = "training.lock"


@contextmanager
def only_training(home: Path) -> Iterator[None]:
    """Hold the home's training; ConfigError where another process does. A killed one holds it no more.

    A home that was not there, and in which nothing was written before an error, is not there after it.
    """
    known = home.exists()
    home.mkdir(parents=True, exist_ok=True)
    try:
        with _held(home):
            yield
    except BaseException:
        if not known and [path.name for path in home.iterdir()] == [LOCK]:
            (home / LOCK).unlink()
            home.rmdir()
        raise


@contextmanager
def _held(home: Path) -> Iterator[None]:
    with (home / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ConfigError(
                f"Another training works in {home} (process {holder}); wait until it has ended, or end it."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
