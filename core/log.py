"""The message log of a cluster: named topics of keyed messages, whose partitions keep their order.

One event stream of one laptop is `core.ports.EventLog`. Here messages are bytes, so that what cannot be decoded is
still a message with a place: it goes to its dead-letter topic and the partition goes on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

MAX_MESSAGE_BYTES: Final = 4_000_000  # key and value; more is TooLarge
_MURMUR_SEED: Final = 0x9747B28C
_MURMUR_FACTOR: Final = 0x5BD1E995
_UINT32: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Message:
    """What is appended; messages of one key keep their order. The key chooses the partition where none is given."""

    key: str
    value: bytes
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message was put. Offsets start at 1 in every partition."""

    partition: int
    offset: int


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One message with its place; `time_ms` is when the log took it.

    `headers` of a dead letter: reason, topic, partition, offset and time_ms of the rejected message, rejected_ms.
    """

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    time_ms: int
    headers: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a partition still holds: offsets first..last; last = first - 1 when it is empty."""

    first: int
    last: int


class Assignment(Protocol):
    """Told when partitions come and go; neither call returns before state has been loaded or let go.

    Both run inside the consumer's own `poll` and `close`, never beside the caller's work: between two polls nothing is
    taken away. A member that does not poll for longer than the log's limit loses its partitions all the same; it is
    told so at its next poll, when another may have gone on from the last commit.
    """

    async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
        """These partitions are ours now, beside those we have; for each that has one of its own the offset after which
        to read.

        Where none is given the group's last commit counts, and the beginning where there is none. When this raises,
        or the log does not answer, the next poll calls it again.
        """
        ...

    async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
        """These partitions leave us, or may come back: finish and store what was read of them, commit it."""
        ...


class Consumer(Protocol):
    """One member of a consumer group; the group's members share the partitions of their topics, the same for all."""

    async def poll(self, limit: int, wait_ms: int) -> list[Entry]:
        """At most `limit` messages of our partitions, each partition in order; empty after `wait_ms`.

        Raises Unavailable while the log does not answer; the next poll goes on where this one stood. Raises
        CorruptData when the log no longer holds what comes next: nothing is passed over in silence.
        """
        ...

    async def commit(self, done: Mapping[tuple[str, int], int]) -> None:
        """The effects of (topic, partition) up to this offset are durable. Raises Unavailable.

        Without effect for a partition that another member has by now: that one delivers the messages again.
        """
        ...

    async def reject(self, entry: Entry, reason: str) -> None:
        """Put a message that can never be used into its dead-letter topic with the reason; durable when it returns."""
        ...

    async def close(self) -> None:
        """Let our partitions go (`revoked` is called) and leave the group."""
        ...


class MessageLog(Protocol):
    """Durable, partitioned and ordered by key; delivers at least once."""

    async def append(self, topic: str, messages: Sequence[Message]) -> list[Place]:
        """Durable when it returns. Raises Unavailable, StorageFull; then any part of it may have been written.

        Raises TooLarge for a message above MAX_MESSAGE_BYTES and ConfigError for an unknown topic; then nothing was.
        """
        ...

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages of a partition with an offset above `after`, in order; no group involved.

        Empty at the end. Raises Unavailable, and CorruptData when the log no longer holds what comes after `after`.
        """
        ...

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds, by number."""
        ...

    async def join(self, group: str, topics: Sequence[str], assignment: Assignment | None = None) -> Consumer:
        """A new member of the group; its polls wait for its share of the partitions.

        ConfigError for an unknown topic, here or at the first poll.
        """
        ...

    async def close(self) -> None:
        """Let go of connections; consumers are closed before."""
        ...


def why_rejected(entry: Entry, reason: str, now_ms: int) -> dict[str, str]:
    """The headers of its dead letter."""
    return {
        "reason": reason,
        "topic": entry.topic,
        "partition": str(entry.partition),
        "offset": str(entry.offset),
        "time_ms": str(entry.time_ms),
        "rejected_ms": str(now_ms),
    }


def by_topic(parts: Iterable[tuple[str, int]]) -> dict[str, frozenset[int]]:
    """The partitions of each topic, topics in their order."""
    grouped: dict[str, set[int]] = {}
    for topic, partition in parts:
        grouped.setdefault(topic, set()).add(partition)
    return {topic: frozenset(numbers) for topic, numbers in grouped.items()}


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: 32-bit murmur2 of its UTF-8 bytes, sign bit dropped, modulo; as Kafka's own clients."""
    raw = key.encode()
    full = len(raw) & ~3
    hashed = _MURMUR_SEED ^ len(raw)
    for start in range(0, full, 4):
        word = int.from_bytes(raw[start : start + 4], "little") * _MURMUR_FACTOR & _UINT32
        word = (word ^ word >> 24) * _MURMUR_FACTOR & _UINT32
        hashed = hashed * _MURMUR_FACTOR & _UINT32 ^ word
    if full < len(raw):
        hashed = (hashed ^ int.from_bytes(raw[full:], "little")) * _MURMUR_FACTOR & _UINT32
    hashed = (hashed ^ hashed >> 13) * _MURMUR_FACTOR & _UINT32
    return ((hashed ^ hashed >> 15) & 0x7FFFFFFF) % partitions
