"""A cluster's slates and intake over the embedded cache and log, also when these do not answer."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from backends.memory import MemoryBytes, MemoryRanked
from backends.sqlite.database import Database
from backends.sqlite.message_log import SqliteMessageLog
from core.errors import Unavailable
from core.log import Message, Place
from core.topics import partitions
from tests.contracts.cluster_slates import ClusterSlatesContract


class Answers:
    """Whether the cache is there, and whether it answers."""

    def __init__(self) -> None:
        self.now, self.away = asyncio.Event(), False
        self.now.set()

    async def come(self) -> None:
        if self.away:
            raise Unavailable("The cache is away.")
        await self.now.wait()


class SlowBytes(MemoryBytes):
    def __init__(self, answers: Answers) -> None:
        super().__init__(lambda: 0)
        self._answers = answers

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        await self._answers.come()
        return await super().get(keys)

    async def set(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        await self._answers.come()
        await super().set(values, ttl_ms)


class SlowRanked(MemoryRanked):
    def __init__(self, answers: Answers) -> None:
        super().__init__(lambda: 0)
        self._answers = answers

    async def add(self, scores: Mapping[str, Mapping[str, float]], most: int, ttl_ms: int) -> None:
        await self._answers.come()
        await super().add(scores, most, ttl_ms)

    async def top(self, keys: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        await self._answers.come()
        return await super().top(keys, limit)


class LockedLog(SqliteMessageLog):
    """A log whose file another process can hold."""

    away = False

    async def append(self, topic: str, messages: Sequence[Message]) -> list[Place]:
        if self.away:
            raise Unavailable("The log is held by another process.")
        return await super().append(topic, messages)


class TestEmbedded(ClusterSlatesContract):
    async def open_shared(self, folder: Path) -> None:
        self.answers = Answers()
        self.cache, self.ranked = SlowBytes(self.answers), SlowRanked(self.answers)
        self.log = LockedLog(Database(folder / "log.db", durable=False), partitions("local"))

    async def hang_cache(self) -> None:
        self.answers.now.clear()

    async def resume_cache(self) -> None:
        self.answers.now.set()

    async def stop_cache(self) -> None:
        self.answers.away = True

    async def start_cache(self) -> None:
        self.answers.away = False

    async def stop_log(self) -> None:
        self.log.away = True  # type: ignore[attr-defined]

    async def start_log(self) -> None:
        self.log.away = False  # type: ignore[attr-defined]
