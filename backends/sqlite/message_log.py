"""MessageLog on one SQLite file: for one machine, and for tests of what runs on Kafka elsewhere.

Nothing is ever deleted; the group's members may live in several processes that open the same file.
"""

from collections.abc import Mapping, Sequence

import msgspec

from backends.sqlite.database import Database
from backends.sqlite.message_consumer import SqliteConsumer
from core.clock import Clock, system_clock
from core.errors import ConfigError, TooLarge
from core.log import (
    MAX_MESSAGE_BYTES,
    Assignment,
    Bounds,
    Consumer,
    Entry,
    Message,
    Place,
    partition_of,
    why_rejected,
)
from core.topics import dead_letters

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    topic TEXT, partition INTEGER, offset INTEGER, key TEXT NOT NULL, value BLOB NOT NULL, time_ms INTEGER NOT NULL,
    headers BLOB NOT NULL, PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message_commits (
    name TEXT, topic TEXT, partition INTEGER, offset INTEGER NOT NULL,
    PRIMARY KEY (name, topic, partition)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message_members (
    name TEXT, member TEXT, seen_ms INTEGER NOT NULL, PRIMARY KEY (name, member)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message_leases (
    name TEXT, topic TEXT, partition INTEGER, member TEXT NOT NULL,
    PRIMARY KEY (name, topic, partition)) WITHOUT ROWID;
"""
_NO_HEADERS = msgspec.msgpack.encode({})
_headers_of = msgspec.msgpack.Decoder(dict[str, str]).decode


class SqliteMessageLog:
    """`partitions` names every topic; a member that is silent for `lease_ms` loses its partitions."""

    def __init__(
        self, database: Database, partitions: Mapping[str, int], *, clock: Clock = system_clock, lease_ms: int = 10_000
    ) -> None:
        self._database = database
        self._partitions = dict(partitions)
        self._clock = clock
        self._lease_ms = lease_ms
        database.create(_SCHEMA)

    async def append(self, topic: str, messages: Sequence[Message]) -> list[Place]:
        """Durable when it returns, all or nothing. Raises TooLarge and ConfigError before it writes."""
        count = self._count(topic)
        for message in messages:
            if len(message.key) + len(message.value) > MAX_MESSAGE_BYTES:
                raise TooLarge(f"A message of {topic} has more than {MAX_MESSAGE_BYTES} bytes; make it smaller.")
        chosen = [partition_of(m.key, count) if m.partition is None else m.partition for m in messages]
        if chosen and not 0 <= min(chosen) <= max(chosen) < count:
            raise ConfigError(f"The topic {topic} has {count} partitions; there is no number {max(chosen)}.")
        return self._write(topic, messages, chosen, _NO_HEADERS)

    def _write(self, topic: str, messages: Sequence[Message], chosen: Sequence[int], headers: bytes) -> list[Place]:
        time_ms = self._clock()
        with self._database.transaction():
            last = {partition: self._last(topic, partition) for partition in set(chosen)}
            places = []
            for partition in chosen:
                last[partition] += 1
                places.append(Place(partition, last[partition]))
            self._database.execute_many(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (topic, place.partition, place.offset, message.key, message.value, time_ms, headers)
                    for place, message in zip(places, messages, strict=True)
                ),
            )
        return places

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages of a partition with an offset above `after`, in order."""
        self._count(topic)
        rows = self._database.rows(
            "SELECT offset, key, value, time_ms, headers FROM messages"
            " WHERE topic = ? AND partition = ? AND offset > ? ORDER BY offset LIMIT ?",
            (topic, partition, after, limit),
        )
        return [
            Entry(topic, partition, offset, key, value, time_ms, _headers_of(headers))
            for offset, key, value, time_ms, headers in rows
        ]

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds, by number."""
        return [Bounds(1, self._last(topic, partition)) for partition in range(self._count(topic))]

    async def join(self, group: str, topics: Sequence[str], assignment: Assignment | None = None) -> Consumer:
        """A new member of the group; its polls wait for its share of the partitions."""
        partitions = [(topic, partition) for topic in topics for partition in range(self._count(topic))]
        return SqliteConsumer(self, self._database, group, partitions, assignment, self._clock, self._lease_ms)

    async def bury(self, entry: Entry, reason: str) -> None:
        """Put a message into its dead-letter topic."""
        topic = dead_letters(entry.topic)
        self._count(topic)
        headers = msgspec.msgpack.encode(why_rejected(entry, reason, self._clock()))
        self._write(topic, [Message(entry.key, entry.value)], [0], headers)

    async def close(self) -> None:
        """The database stays open: it belongs to whoever opened it."""

    def _last(self, topic: str, partition: int) -> int:
        sql = "SELECT max(offset) FROM messages WHERE topic = ? AND partition = ?"
        found = self._database.row(sql, (topic, partition))
        return int(found[0] or 0) if found else 0

    def _count(self, topic: str) -> int:
        if topic not in self._partitions:
            raise ConfigError(f"There is no topic {topic!r}; the log has {', '.join(sorted(self._partitions))}.")
        return self._partitions[topic]
