"""What the stack asks of each kind of server."""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Place:
    """Where one server runs: the folder of its files, that of its data, and its ports (the inner one may be 0)."""

    folder: Path
    data: Path
    port: int
    inner_port: int = 0


@dataclass(frozen=True)
class Command:
    """What starts a server, and the account that it runs as ("" for this one)."""

    words: list[str]
    account: str = ""
    environment: dict[str, str] = field(default_factory=dict)


class Server(Protocol):
    """One kind of server."""

    @property
    def name(self) -> str:
        """The word for it, which is also the name of its folder."""
        ...

    @property
    def inner(self) -> bool:
        """Whether it needs a second port for itself."""
        ...

    @property
    def stops_by(self) -> signal.Signals:
        """The signal that ends it in order."""
        ...

    def data_folder(self, folder: Path) -> Path:
        """Where a new server keeps its data; usually below its folder."""
        ...

    def command(self, place: Place) -> Command:
        """Write its settings, make its data where there are none, and say what starts it; ConfigError if it cannot."""
        ...

    def probe(self, place: Place) -> None:
        """Ask it one real question; OSError until it answers."""
        ...

    def address(self, place: Place) -> str:
        """What a client is told."""
        ...
