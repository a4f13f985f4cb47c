"""Appends that are acknowledged by every replica in sync, or given up after a stated time."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed, UnknownTopicOrPartitionError
from aiokafka.structs import RecordMetadata, TopicPartition

from backends.kafka.config import KafkaConfig
from backends.kafka.errors import is_final, translated
from core.errors import ConfigError, TooLarge, Unavailable
from core.log import MAX_MESSAGE_BYTES, Place, partition_of

_BATCH_BYTES = 512 << 10
_ROOM_BYTES = 4_096  # of a message beside key and value
_TOGETHER = 16  # messages of a partition that are worth a batch of their own
_partition_of = lru_cache(1 << 16)(partition_of)  # counters are published again and again

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Record:
    """One message on its way to Kafka."""

    key: str
    value: bytes
    partition: int | None = None
    headers: Headers = ()


_Numbered = tuple[int, Record]
_Sent = tuple[list[int], "asyncio.Future[RecordMetadata]"]  # which records, and the answer for the first of them


class Producer:
    """An idempotent producer with acks=all.

    Messages that wait while another request is under way travel together in the next; nothing lingers. The driver
    would try a batch again for ever; one whose time is up is dropped together with the driver's producer, whose
    queue would else be written long after its callers were told that it was not.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._live: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._ending: set[asyncio.Task[None]] = set()

    async def append(self, topic: str, records: Sequence[Record]) -> list[Place]:
        """Durable when it returns; Unavailable or StorageFull when that took longer than `append_ms`."""
        _check_sizes(topic, records)
        producer = None
        with translated(self._config.place, f"take messages for {topic}"):
            try:
                async with asyncio.timeout(self._config.append_ms / 1000):
                    producer = await self._started()
                    return await self._send(producer, topic, records)
            except (TimeoutError, KafkaError) as error:
                if producer is not None and (isinstance(error, TimeoutError) or is_final(error)):
                    self._drop(producer)
                raise
            except KeyError as error:
                if producer is None or producer._message_accumulator._exception is None:
                    raise
                # The driver has died of a batch that it asked again for and that was given up meanwhile.
                self._drop(producer)
                raise ProducerClosed from error

    async def start(self) -> None:
        """Connect; Unavailable where Kafka does not answer."""
        with translated(self._config.place, "answer"):
            async with asyncio.timeout(self._config.append_ms / 1000):
                await self._started()

    async def close(self) -> None:
        """Send what waits, within the time of an append, and let go of the connections."""
        producer, self._live = self._live, None
        if producer is not None:
            with suppress(TimeoutError, KafkaError):
                async with asyncio.timeout(self._config.append_ms / 1000):
                    await producer.flush()
            self._end(producer)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._live is None:
                producer = self._made()
                try:
                    await producer.start()
                except BaseException:
                    self._end(producer)
                    raise
                self._live = producer
            return self._live

    def _made(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._config.servers, client_id="foryou", acks="all", enable_idempotence=True,
            # Below `append_ms`, so that one lost answer leaves time to ask again.
            request_timeout_ms=self._config.append_ms * 3 // 5, retry_backoff_ms=50, linger_ms=0,
            max_batch_size=_BATCH_BYTES, max_request_size=MAX_MESSAGE_BYTES + _ROOM_BYTES, metadata_max_age_ms=60_000,
        )  # fmt: skip

    async def _send(self, producer: AIOKafkaProducer, topic: str, records: Sequence[Record]) -> list[Place]:
        count = await self._partitions(producer, topic)
        chosen = [_partition_of(r.key, count) if r.partition is None else r.partition for r in records]
        if chosen and not 0 <= min(chosen) <= max(chosen) < count:
            raise ConfigError(f"{self._config.place} has no partition {max(chosen)} of {topic}, which has {count}.")
        groups: dict[int, list[int]] = {}
        for at, partition in enumerate(chosen):
            groups.setdefault(partition, []).append(at)
        sent: list[_Sent] = []
        try:
            for partition, group in groups.items():
                numbered = [(at, records[at]) for at in group]
                if len(group) < _TOGETHER:
                    await self._singles(producer, topic, partition, numbered, sent)
                else:
                    self._batches(producer, topic, partition, numbered, sent)
            answers = await asyncio.gather(*(future for _, future in sent))
            return self._places(topic, len(records), [group for group, _ in sent], answers)
        finally:
            for _, future in sent:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # seen: the first of them is raised

    async def _singles(
        self, producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[_Numbered], sent: list[_Sent]
    ) -> None:
        """Queue records of a partition one by one: they travel with what others send there."""
        for at, record in records:
            name, key = self._config.prefix + topic, record.key.encode()
            future = await producer.send(name, record.value, key, partition, headers=record.headers)
            sent.append(([at], future))

    def _batches(
        self, producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[_Numbered], sent: list[_Sent]
    ) -> None:
        """Queue many records of a partition: one answer for a batch costs less than one for each of them.

        The driver's own `send_batch` waits until nothing else is queued for the partition, and counts that time twice
        where several wait: the batches go into its queue behind each other instead, as those of `send` do.
        """
        left, queue = deque(records), producer._message_accumulator
        part = TopicPartition(self._config.prefix + topic, partition)
        while left:
            batch, group = producer.create_batch(), list[int]()
            while left:
                at, record = left[0]
                key, value, headers = record.key.encode(), record.value, list(record.headers)
                if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                    break
                group.append(at)
                left.popleft()
            if queue._closed or queue._exception is not None:
                raise ProducerClosed from queue._exception
            sent.append((group, queue._append_batch(batch, part).future))

    def _places(
        self, topic: str, count: int, groups: Sequence[Sequence[int]], answers: Sequence[RecordMetadata]
    ) -> list[Place]:
        """The place of each record: those of a group follow each other from where its answer says."""
        found: dict[int, Place] = {}
        for group, answer in zip(groups, answers, strict=True):
            first = self._place(topic, answer)
            found.update({at: Place(first.partition, first.offset + n) for n, at in enumerate(group)})
        return [found[at] for at in range(count)]

    def _place(self, topic: str, answer: RecordMetadata) -> Place:
        if answer.offset < 0:
            raise Unavailable(f"{self._config.place} has the messages for {topic} and forgot where; append them again.")
        return Place(answer.partition, answer.offset + 1)

    async def _partitions(self, producer: AIOKafkaProducer, topic: str) -> int:
        try:
            return len(await producer.partitions_for(self._config.prefix + topic))
        except UnknownTopicOrPartitionError as error:
            if not await producer.client.force_metadata_update():
                raise TimeoutError from error  # it is not the topic that is away
            raise

    def _drop(self, producer: AIOKafkaProducer) -> None:
        """The next append starts another one."""
        if self._live is producer:
            self._live = None
            self._end(producer)

    def _end(self, producer: AIOKafkaProducer) -> None:
        task = asyncio.create_task(_ended(producer, self._config.append_ms / 1000))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _ended(producer: AIOKafkaProducer, limit_s: float) -> None:
    """Without its queue: its own `stop` would first wait until all of it is sent."""
    with suppress(TimeoutError, KafkaError, KeyError):  # the last one: what the driver may have died of
        async with asyncio.timeout(limit_s):
            await producer._sender.close()
    await producer.client.close()
    producer._closed = True


def _check_sizes(topic: str, records: Sequence[Record]) -> None:
    for record in records:
        if len(record.key) + len(record.value) > MAX_MESSAGE_BYTES:
            raise TooLarge(f"A message of {topic} has more than {MAX_MESSAGE_BYTES} bytes; make it smaller.")
