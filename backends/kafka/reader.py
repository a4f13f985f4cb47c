"""Reading partitions without a group."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from backends.kafka.config import KafkaConfig
from backends.kafka.ending import stop
from backends.kafka.entries import entries_of
from core.errors import CorruptData
from core.log import Bounds, Entry

_READERS: Final = 16
_FETCH_WAIT_MS: Final = 100  # a seek waits for the fetch that is under way


async def _started(config: KafkaConfig) -> AIOKafkaConsumer:
    client = AIOKafkaConsumer(
        bootstrap_servers=config.servers, client_id="foryou", group_id=None, enable_auto_commit=False,
        auto_offset_reset="none", request_timeout_ms=config.answer_ms, metadata_max_age_ms=60_000,
        fetch_max_wait_ms=_FETCH_WAIT_MS, max_partition_fetch_bytes=config.fetch_bytes,
    )  # fmt: skip
    try:
        await client.start()
    except BaseException:
        await stop(client)
        raise
    return client


class Asker:
    """Where partitions begin and end; on a connection of its own, as a fetch that waits would hold up the answer."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client: Any = None
        self._lock = asyncio.Lock()

    async def end(self, part: TopicPartition) -> int:
        """Kafka's offset of the next message."""
        return int((await (await self._live()).end_offsets([part]))[part])

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds."""
        client = await self._live()
        numbers = client.partitions_for_topic(topic)
        if not numbers:  # new since it asked last
            numbers = (await client._client.fetch_all_metadata()).partitions_for_topic(topic)
        if not numbers:
            raise UnknownTopicOrPartitionError(topic)
        parts = [TopicPartition(topic, number) for number in sorted(numbers)]
        first, end = await asyncio.gather(client.beginning_offsets(parts), client.end_offsets(parts))
        return [Bounds(first[part] + 1, end[part]) for part in parts]

    async def close(self) -> None:
        """Let go of the connection; the next question makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError):
                await stop(client)

    async def _live(self) -> Any:
        async with self._lock:
            if self._client is None:
                self._client = await _started(self._config)
            return self._client


class PartitionReader:
    """One partition, best read on from where the last read ended."""

    def __init__(self, config: KafkaConfig, part: TopicPartition, asker: Asker) -> None:
        self._config, self._part, self._asker = config, part, asker
        self._client: Any = None
        self._lock = asyncio.Lock()
        self._next = -1

    @property
    def busy(self) -> bool:
        """Whether someone reads it."""
        return self._lock.locked()

    async def read(self, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages after an offset; TimeoutError after `answer_ms`, CorruptData when it is gone."""
        async with self._lock:
            try:
                async with asyncio.timeout(self._config.answer_ms / 1000):
                    return await self._read(after, limit)
            except OffsetOutOfRangeError as error:
                raise CorruptData(
                    f"{self._config.place} no longer holds offset {after + 1} of {self._part.topic}"
                    f" [{self._part.partition}]; read it from the archive, or begin at the partition's first."
                ) from error
            except (TimeoutError, KafkaError):
                await self.close()
                raise

    async def _read(self, after: int, limit: int) -> list[Entry]:
        client = self._client
        if client is None:
            client = self._client = await _started(self._config)
            client.assign([self._part])
            self._next = -1
        if self._next != after:
            client.seek(self._part, after)
            self._next = after
        end = await self._asker.end(self._part)
        if after == end:
            return []
        while True:
            # The end may be a gap (what compaction took), where there is no message to wait for.
            found = (await client.getmany(self._part, timeout_ms=200, max_records=limit)).get(self._part, [])
            self._next = await client.position(self._part)
            if found or self._next >= end:
                return entries_of(self._part.topic[len(self._config.prefix) :], found)

    async def close(self) -> None:
        """Let go of its connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError):
                await stop(client)


class Reader:
    """The partitions that were read last keep their connection."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._readers: OrderedDict[TopicPartition, PartitionReader] = OrderedDict()
        self._asker = Asker(config)

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages of a partition after an offset."""
        part = TopicPartition(self._config.prefix + topic, partition)
        reader = self._readers.setdefault(part, PartitionReader(self._config, part, self._asker))
        self._readers.move_to_end(part)
        for oldest in [part for part, other in self._readers.items() if not other.busy][:-_READERS]:
            await self._readers.pop(oldest).close()
        async with self._anew_after_errors():
            return await reader.read(after, limit)

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds."""
        async with self._anew_after_errors(), asyncio.timeout(self._config.answer_ms / 1000):
            return await self._asker.bounds(self._config.prefix + topic)

    async def close(self) -> None:
        """Let go of all connections."""
        for reader in self._readers.values():
            await reader.close()
        self._readers.clear()
        await self._asker.close()

    @asynccontextmanager
    async def _anew_after_errors(self) -> AsyncIterator[None]:
        try:
            yield
        except (TimeoutError, KafkaError):
            await self._asker.close()
            raise
