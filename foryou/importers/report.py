"""What an import needs, what it counts and how it says so."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.clock import Clock
from core.ports import EventLog, Tables


@dataclass(frozen=True, slots=True)
class ImportStores:
    """Where an import writes; `home` holds the files of rejected rows and the marks of progress."""

    log: EventLog
    tables: Tables
    home: Path
    clock: Clock


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a file is; `total` is 0 where the format does not say how many rows it has."""

    file: str
    rows: int
    total: int


OnProgress = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Say nothing."""


@dataclass(slots=True)
class Tally:
    """Counts of one file, which survive a restart with its mark.

    `rows` are of the log or the histories; `duplicates` repeat an earlier row of the import, `exact_duplicates` of
    them in every column; `known` rows were on the log before the import began; `rejected` by reason.
    """

    rows: int = 0
    events: int = 0
    duplicates: int = 0
    exact_duplicates: int = 0
    known: int = 0
    clamped: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """For a mark."""
        return {name: _plain(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Tally":
        """What `as_dict` gave."""
        counters = {name: Counter(stored[name]) for name in ("rejected", "notes")}
        return cls(**{**stored, **counters})

    def add(self, other: "Tally") -> None:
        """Count what the other counted too."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(slots=True)
class ImportReport(Tally):
    """What an import did; counts over all its files, and the files of rejected rows."""

    source: str = ""
    videos: int = 0
    users: int = 0
    seconds: float = 0.0
    reject_files: list[Path] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what a file counted too."""
        for name in Tally.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON or a table."""
        names = ("source", *Tally.__slots__, *(n for n in ImportReport.__slots__ if n != "source"))
        return {name: _plain(getattr(self, name)) for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, Counter):
        return dict(sorted(value.items()))
    if isinstance(value, list):
        return [str(entry) for entry in value]
    return value
