"""States of packed rows as of a version, and who can give them: a replay of one log, or of a cluster's topics."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from core.video_table import VideoTable


class StateKey(NamedTuple):
    """A packed row ("viewer", "video", "author" or "trend", by id) as of the offset of the last event in it."""

    entity: str
    id: str
    version: int


class State(NamedTuple):
    """The row (stamped with its version alone), and the time of that last event, Unix ms."""

    row: bytes
    event_ms: int


States = Mapping[StateKey, State]


class StateAt(Protocol):
    """Gives rows as they were, by counting the log again."""

    async def states(self, keys: Collection[StateKey]) -> States:
        """The rows by key; one whose version the log does not lead to is absent."""
        ...


class CatalogueAt(Protocol):
    """Gives the catalogue as it was."""

    async def until(self, offset: int) -> VideoTable:
        """The catalogue as of an offset, the same object every time; offsets must not fall."""
        ...
