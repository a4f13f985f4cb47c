"""Reading partitions without a group."""

import asyncio
from collections import OrderedDict
from contextlib import suppress
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from backends.kafka.config import KafkaConfig
from backends.kafka.entries import as_entry
from core.errors import CorruptData
from core.log import Bounds, Entry

_READERS: Final = 16


def _client(config: KafkaConfig) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=config.servers, client_id="foryou", group_id=None, enable_auto_commit=False,
        auto_offset_reset="none", request_timeout_ms=config.answer_ms, metadata_max_age_ms=60_000,
        max_partition_fetch_bytes=config.fetch_bytes,
    )  # fmt: skip


async def _started(config: KafkaConfig) -> AIOKafkaConsumer:
    client = _client(config)
    try:
        await client.start()
    except BaseException:
        await client.stop()
        raise
    return client


class PartitionReader:
    """One partition, best read on from where the last read ended."""

    def __init__(self, config: KafkaConfig, part: TopicPartition) -> None:
        self._config, self._part = config, part
        self._client: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()
        self._next = -1

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
        (end,) = (await client.end_offsets([self._part])).values()
        if after == end:
            return []
        while True:
            # The end may be a gap (what compaction took), where there is no message to wait for.
            found = (await client.getmany(self._part, timeout_ms=200, max_records=limit)).get(self._part, [])
            self._next = await client.position(self._part)
            if found or self._next >= end:
                return [as_entry(record, len(self._config.prefix)) for record in found]

    async def close(self) -> None:
        """Let go of its connection."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(KafkaError):
                await client.stop()


class Reader:
    """The partitions that were read last keep their connection."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._readers: OrderedDict[TopicPartition, PartitionReader] = OrderedDict()
        self._asker: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages of a partition after an offset."""
        part = TopicPartition(self._config.prefix + topic, partition)
        reader = self._readers.setdefault(part, PartitionReader(self._config, part))
        self._readers.move_to_end(part)
        entries = await reader.read(after, limit)
        while len(self._readers) > _READERS:
            await self._readers.popitem(last=False)[1].close()
        return entries

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds."""
        async with self._lock:
            try:
                async with asyncio.timeout(self._config.answer_ms / 1000):
                    return await self._bounds(self._config.prefix + topic)
            except (TimeoutError, KafkaError):
                await self._forget()
                raise

    async def _bounds(self, topic: str) -> list[Bounds]:
        if self._asker is None:
            self._asker = await _started(self._config)
        cluster = await self._asker._client.fetch_all_metadata()
        numbers = cluster.partitions_for_topic(topic)
        if not numbers:
            raise UnknownTopicOrPartitionError(topic)
        parts = [TopicPartition(topic, number) for number in sorted(numbers)]
        first = await self._asker.beginning_offsets(parts)
        end = await self._asker.end_offsets(parts)
        return [Bounds(first[part] + 1, end[part]) for part in parts]

    async def close(self) -> None:
        """Let go of all connections."""
        for reader in self._readers.values():
            await reader.close()
        self._readers.clear()
        await self._forget()

    async def _forget(self) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            with suppress(KafkaError):
                await asker.stop()
