"""How far an import of a file came: a shortcut for the next run, never a source of truth."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from core.ports import EventLog
from foryou.importers.report import Tally


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Rows done with their counts; `start` and `end` are the log's offsets before the first and after the last
    append, `last_id` the event at `end`; `file` says which bytes were read under which mapping."""

    file: str
    rows: int
    start: int
    end: int
    last_id: str
    reject_bytes: int
    tally: dict[str, Any]
    done: bool = False

    def counts(self) -> Tally:
        """The counts so far."""
        return Tally.from_dict(self.tally)


def fingerprint(path: Path, reading: str) -> str:
    """Changes with the file's size, its time or how it is read."""
    facts = path.stat()
    text = f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns} {reading}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


class MarkFile:
    """The mark of one file under one source, at `<home>/imports/`."""

    def __init__(self, home: Path, source: str, file: str) -> None:
        self._path = home / "imports" / f"{source}-{file}.json"
        self._file = file

    async def read(self, log: EventLog) -> Mark | None:
        """The mark, None where there is none, or where the log is not the one that was written to."""
        try:
            mark = msgspec.json.decode(self._path.read_bytes(), type=Mark)
        except (OSError, msgspec.DecodeError):
            return None
        if mark.file != self._file or await last_id(log, mark.end) != mark.last_id:
            return None
        return mark

    def write(self, mark: Mark) -> None:
        """Replace the mark."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(mark))
        part.replace(self._path)


async def last_id(log: EventLog, offset: int) -> str:
    """The id of the event at the offset, "" where there is none."""
    found = await log.read(offset - 1, 1) if offset > 0 else []
    return found[0].event.event_id if found and found[0].offset == offset else ""
