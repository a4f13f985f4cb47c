"""The message log of a cluster: named topics of keyed messages, whose partitions keep their order.

One event stream of one laptop is `core.ports.EventLog`. Here messages are bytes, so that what cannot be decoded is
still a message with a place: it goes to its dead-letter topic and the partition goes on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What is appended; messages of one key keep their order."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message was put. Offsets start at 1 in every partition."""

    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One message with its place; `time_ms` is when the log took it."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    time_ms: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a partition still holds: offsets first..last; last = first - 1 when it is empty."""

    first: int
    last: int


class Assignment(Protocol):
    """Told when partitions come and go; neither call returns before state has been loaded or let go."""

    async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
        """These partitions are ours now; the offset after which to read, for each that has one of its own."""
        ...

    async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
        """These partitions go to another consumer of the group: finish and store what was read of them."""
        ...


class Consumer(Protocol):
    """One member of a consumer group; the group's members share the partitions of a topic."""

    async def poll(self, limit: int, wait_ms: int) -> list[Entry]:
        """At most `limit` messages of our partitions, each partition in order; empty after `wait_ms`. Unavailable."""
        ...

    async def commit(self, done: Mapping[tuple[str, int], int]) -> None:
        """The effects of (topic, partition) up to this offset are durable."""
        ...

    async def reject(self, entry: Entry, reason: str) -> None:
        """Put a message that can never be used into its dead-letter topic with the reason; durable when it returns."""
        ...

    async def close(self) -> None:
        """Leave the group."""
        ...


class MessageLog(Protocol):
    """Durable, partitioned and ordered by key; delivers at least once."""

    async def append(self, topic: str, messages: Sequence[Message]) -> list[Place]:
        """Durable when it returns. Raises Unavailable, StorageFull; then any part of it may have been written."""
        ...

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages of a partition with an offset above `after`, in order; no group involved."""
        ...

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds, by number."""
        ...

    async def join(self, group: str, topics: Sequence[str], assignment: Assignment | None = None) -> Consumer:
        """A new member of the group; its first poll waits for its share of the partitions."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
