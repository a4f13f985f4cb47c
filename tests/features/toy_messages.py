"""A message log in memory whose broker forgets when it is told to: what the archive is tested against."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from zlib import crc32

from core.errors import CorruptData
from core.log import Assignment, Bounds, Entry, Message, Place


class ToyLog:
    """MessageLog; time is the test's own, in `now`."""

    def __init__(self, partitions: int = 2) -> None:
        self.partitions, self.now = partitions, 0
        self._kept: dict[str, list[list[Entry]]] = defaultdict(lambda: [[] for _ in range(partitions)])
        self._next: dict[tuple[str, int], int] = defaultdict(lambda: 1)
        self.committed: dict[tuple[str, str, int], int] = defaultdict(int)
        self.reads = 0

    async def append(self, topic: str, messages: Sequence[Message]) -> list[Place]:
        return [self.put(topic, crc32(m.key.encode()) % self.partitions, m.key, m.value) for m in messages]

    def put(self, topic: str, partition: int, key: str, value: bytes, time_ms: int | None = None) -> Place:
        """Append to a chosen partition, at a chosen time."""
        offset = self._next[topic, partition]
        self._next[topic, partition] += 1
        at = self.now if time_ms is None else time_ms
        self._kept[topic][partition].append(Entry(topic, partition, offset, key, value, at))
        return Place(partition, offset)

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        self.reads += 1
        kept = self._kept[topic][partition]
        if (kept[0].offset if kept else self._next[topic, partition]) > after + 1:
            raise CorruptData("The log no longer holds what comes next.")
        return [e for e in self._kept[topic][partition] if e.offset > after][:limit]

    async def bounds(self, topic: str) -> list[Bounds]:
        found = []
        for partition, kept in enumerate(self._kept[topic]):
            last = self._next[topic, partition] - 1
            found.append(Bounds(kept[0].offset if kept else last + 1, last))
        return found

    def forget(self, topic: str, partition: int, until: int) -> None:
        """What the end of the retention does."""
        kept = self._kept[topic]
        kept[partition] = [e for e in kept[partition] if e.offset > until]

    def everything(self, topic: str) -> list[Entry]:
        """What the broker still holds, by partition and offset."""
        return [entry for kept in self._kept[topic] for entry in kept]

    async def join(self, group: str, topics: Sequence[str], assignment: Assignment | None = None) -> "ToyConsumer":
        return ToyConsumer(self, group, topics, assignment)

    async def close(self) -> None:
        return


class ToyConsumer:
    """The one member of its group: it begins after what was committed."""

    def __init__(self, log: ToyLog, group: str, topics: Sequence[str], assignment: Assignment | None) -> None:
        self._log, self._group, self._topics, self._assignment = log, group, topics, assignment
        self._after: dict[tuple[str, int], int] | None = None

    async def poll(self, limit: int, wait_ms: int) -> list[Entry]:
        if self._after is None:
            self._after = await self._begin()
        found: list[Entry] = []
        for (topic, partition), after in self._after.items():
            entries = await self._log.read(topic, partition, after, limit - len(found))
            if entries:
                self._after[topic, partition] = entries[-1].offset
            found += entries
        if not found:
            await asyncio.sleep(0.001)
        return found

    async def _begin(self) -> dict[tuple[str, int], int]:
        numbers, after = frozenset(range(self._log.partitions)), {}
        for topic in self._topics:
            own = await self._assignment.assigned(topic, numbers) if self._assignment else {}
            after |= {(topic, n): own.get(n, self._log.committed[self._group, topic, n]) for n in numbers}
        return after

    async def commit(self, done: Mapping[tuple[str, int], int]) -> None:
        for (topic, partition), offset in done.items():
            self._log.committed[self._group, topic, partition] = offset

    async def reject(self, entry: Entry, reason: str) -> None:
        raise AssertionError("the archive rejects nothing")

    async def close(self) -> None:
        for topic in self._topics if self._assignment and self._after is not None else ():
            await self._assignment.revoked(topic, frozenset(range(self._log.partitions)))
