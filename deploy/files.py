"""Small files of the stack: written whole or not at all, filled from templates, locked against a second process."""

import fcntl
import string
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parent


def write_whole(path: Path, text: str) -> None:
    """Replace a file, whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    part.replace(path)


def filled(template: str, **names: object) -> str:
    """A template of this package, such as "redis/redis.conf", with its names filled in."""
    return string.Template((TEMPLATES / template).read_text()).substitute(names)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that no other process or thread holds; waits for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def last_lines(path: Path, count: int, start: int = 0) -> list[str]:
    """The last lines of a file from a byte on; none where there is no file."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        file.seek(start)
        return [line.decode(errors="replace").rstrip("\r\n") for line in deque(file, maxlen=count)]
