"""One member of a consumer group."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    CommitFailedError,
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import TopicPartition

from backends.kafka.config import KafkaConfig
from backends.kafka.ending import stop
from backends.kafka.entries import entries_of, header_bytes
from backends.kafka.errors import translated
from backends.kafka.producer import Producer, Record
from backends.kafka.shares import StayingAssignor
from core.clock import Clock
from core.errors import CorruptData
from core.log import Assignment, Entry, by_topic, why_rejected
from core.topics import dead_letters

_log = logging.getLogger(__name__)
_IDLE_MS = (
    600_000  # a member that does not poll for so long leaves, though it lives: loading its state may take a while
)
_FETCH_WAIT_MS = 100
_STAY = (RecordTooLargeError, CorruptRecordException)  # the connection is not to blame


@dataclass(eq=False, slots=True)
class _Change:
    """Partitions that came, or (None) all that we have go; `settled` when the owner was told."""

    came: frozenset[TopicPartition] | None
    settled: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self) -> None:
        """The driver may go on, if it still waits."""
        if not self.settled.done():
            self.settled.set_result(None)


class KafkaConsumer:
    """Changes of the group wait for the next `poll`, which tells the assignment and then goes on.

    The protocol is the eager one (the driver has no other): at each change every member lets all its partitions go,
    stores what it read, and gets nearly the same ones again. So what `revoked` stored is complete before another
    member's `assigned` looks for it.
    """

    def __init__(
        self,
        config: KafkaConfig,
        producer: Producer,
        group: str,
        topics: Sequence[str],
        assignment: Assignment | None,
        clock: Clock,
    ) -> None:
        self._config, self._producer, self._group, self._topics = config, producer, group, list(topics)
        self._assignment, self._clock = assignment, clock
        self._client: Any = None
        self._changes: deque[_Change] = deque()
        self._ours: frozenset[TopicPartition] = frozenset()  # told to the assignment, and read from its offset
        self._nap: asyncio.Timeout | None = None
        self._signs: object = None
        self._heard_s = 0.0
        self._closing = False

    async def poll(self, limit: int, wait_ms: int) -> list[Entry]:
        """At most `limit` messages, each partition in order; empty after `wait_ms`. Unavailable, CorruptData."""
        until = asyncio.get_running_loop().time() + wait_ms / 1000
        while True:
            await self._settle()
            entries = await self._read(limit, until)
            if entries or (asyncio.get_running_loop().time() >= until and not self._changes):
                return entries

    async def commit(self, done: Mapping[tuple[str, int], int]) -> None:
        """These offsets are done; without effect for partitions that are no longer ours."""
        named = {TopicPartition(self._config.prefix + topic, n): offset for (topic, n), offset in done.items()}
        ours = {part: offset for part, offset in named.items() if part in self._ours}
        if self._client is None or not ours:
            return
        with translated(self._config.place, f"commit for {self._group}"):
            try:
                async with asyncio.timeout(self._config.answer_ms / 1000):
                    await self._client.commit(ours)
            except (CommitFailedError, IllegalStateError) as error:
                _log.info("A commit of %s came too late: %s", self._group, error)

    async def reject(self, entry: Entry, reason: str) -> None:
        """Put the message's bytes into its dead-letter topic with the reason; durable when it returns."""
        headers = header_bytes(why_rejected(entry, reason, self._clock()))
        record = Record(entry.key, entry.value, 0, headers)
        await self._producer.append(dead_letters(entry.topic), [record])

    async def close(self) -> None:
        """Let our partitions go and leave the group."""
        self._closing = True
        try:
            await self._let_go()
        finally:
            self._forget_changes()
            await self._disconnect()

    # What Kafka says of the group

    def changed(self, came: frozenset[TopicPartition] | None) -> asyncio.Future[None]:
        """The next poll tells it, and one that sleeps wakes for it."""
        change = _Change(came)
        if self._closing:
            change.settle()
        else:
            self._changes.append(change)
            if self._nap is not None and not self._nap.expired():
                self._nap.reschedule(asyncio.get_running_loop().time())
        return change.settled

    async def _settle(self) -> None:
        """Tell the assignment what has changed; a change that it could not take stays for the next poll."""
        if self._client is None:
            await self._let_go()
            with translated(self._config.place, f"let {self._group} read"):
                await self._connect()
        while self._changes:
            change = self._changes[0]
            if change.came is None:
                await self._let_go()
            else:
                await self._take(change.came)
            self._changes.popleft()
            change.settle()

    async def _let_go(self) -> None:
        for topic, numbers in self._named(self._ours).items():
            if self._assignment is not None:
                await self._assignment.revoked(topic, numbers)
            self._ours -= {TopicPartition(self._config.prefix + topic, number) for number in numbers}

    async def _take(self, parts: frozenset[TopicPartition]) -> None:
        """Know where to begin, tell the assignment, begin there: reading waits until all of that is done."""
        with translated(self._config.place, f"tell {self._group} where to begin"):
            async with asyncio.timeout(self._config.answer_ms / 1000):
                after = await self._committed(self._client, parts)
        for topic, numbers in self._named(parts).items():
            own = await self._assignment.assigned(topic, numbers) if self._assignment is not None else {}
            after |= {TopicPartition(self._config.prefix + topic, number): start for number, start in own.items()}
        for part in parts & self._client.assignment():
            self._client.seek(part, after[part])
        self._ours = parts
        self._heard_s = asyncio.get_running_loop().time()

    async def _committed(self, client: Any, parts: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        """Kafka's number of the next message is ours of the last one."""
        if not parts:
            return {}
        first = await client.beginning_offsets(parts)
        found = await asyncio.gather(*(client.committed(part) for part in parts))
        return {part: first[part] if done is None else done for part, done in zip(parts, found, strict=True)}

    def _named(self, parts: frozenset[TopicPartition]) -> dict[str, frozenset[int]]:
        prefix = len(self._config.prefix)
        return by_topic(sorted((part.topic[prefix:], part.partition) for part in parts))

    # Reading

    async def _read(self, limit: int, until: float) -> list[Entry]:
        with translated(self._config.place, f"give {self._group} its messages"):
            try:
                found = await self._fetched(limit, until)
                if not found:
                    await self._listen()
            except OffsetOutOfRangeError as error:
                raise self._gone(error) from error
            except _STAY:
                raise
            except KafkaError:
                await self._disconnect()
                raise
        prefix = len(self._config.prefix)
        return [entry for part, records in found.items() for entry in entries_of(part.topic[prefix:], records)]

    async def _fetched(self, limit: int, until: float) -> dict[TopicPartition, list[Any]]:
        try:
            async with asyncio.timeout_at(until) as self._nap:
                left_ms = max(int((until - asyncio.get_running_loop().time()) * 1000), 0)
                found = await self._client.getmany(timeout_ms=left_ms, max_records=limit)
        except TimeoutError:
            found = {}
        finally:
            self._nap = None
        if not found:
            await asyncio.sleep(0)
        # What is not ours yet was fetched ahead of its `assigned`, which sets where to begin.
        found = {part: records for part, records in found.items() if part in self._ours}
        if found:
            self._heard_s = asyncio.get_running_loop().time()
        return found

    async def _listen(self) -> None:
        """Whether Kafka has answered of late: a fetch, or while we have no partition, a question. TimeoutError."""
        now_s = asyncio.get_running_loop().time()
        signs = {part: self._client.last_poll_timestamp(part) for part in self._ours & self._client.assignment()}
        if signs != self._signs:
            self._signs, self._heard_s = signs, now_s
        if now_s - self._heard_s <= self._config.answer_ms / 1000:
            return
        if signs:
            raise TimeoutError
        async with asyncio.timeout(self._config.answer_ms / 1000):
            await self._client.topics()
        self._heard_s = asyncio.get_running_loop().time()

    def _gone(self, error: OffsetOutOfRangeError) -> CorruptData:
        (part, position), *_ = error.args[0].items()
        topic = part.topic[len(self._config.prefix) :]
        return CorruptData(
            f"{self._config.place} does not hold offset {position + 1} of {topic} [{part.partition}], which"
            f" {self._group} reads next; its retention has passed it (or the log was cut): read it from the archive,"
            " then commit the first offset that is left."
        )

    # The connection

    async def _connect(self) -> None:
        client = AIOKafkaConsumer(
            bootstrap_servers=self._config.servers, client_id="foryou", group_id=self._config.prefix + self._group,
            enable_auto_commit=False, auto_offset_reset="none",
            partition_assignment_strategy=(StayingAssignor(),), session_timeout_ms=self._config.session_ms,
            heartbeat_interval_ms=self._config.session_ms // 10, rebalance_timeout_ms=self._config.rebalance_ms,
            # The answer to a join comes when all members have let go.
            request_timeout_ms=self._config.rebalance_ms + self._config.answer_ms, max_poll_interval_ms=_IDLE_MS,
            # What comes for a partition whose last messages were just taken waits for the fetch that is under way.
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            max_partition_fetch_bytes=self._config.fetch_bytes, metadata_max_age_ms=60_000,
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._config.answer_ms / 1000):
                await client.start()
                if absent := {self._config.prefix + topic for topic in self._topics} - await client.topics():
                    raise UnknownTopicOrPartitionError(", ".join(sorted(absent)))
        except BaseException:
            await stop(client)
            raise
        client.subscribe([self._config.prefix + topic for topic in self._topics], listener=_Listener(self))
        self._client, self._signs, self._heard_s = client, None, asyncio.get_running_loop().time()

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._forget_changes()
        if client is not None:
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(self._config.answer_ms / 1000):
                    await stop(client)

    def _forget_changes(self) -> None:
        for change in self._changes:
            change.settle()
        self._changes.clear()


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """The driver calls it in a task of its own; letting go waits until the owner has stored its state."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """All of them go."""
        await self._consumer.changed(None)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """These came."""
        self._consumer.changed(frozenset(assigned))
