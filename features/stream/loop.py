"""The consumer loop of every stage: partitions come and go, each has its lane, and no lane stops another."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from core.errors import Unavailable
from core.log import Consumer, Entry, MessageLog
from features.stream.lane import Lane, PartitionWork, StageMetrics, both, unhurried

_log = logging.getLogger(__name__)


class StageConfig(BaseModel):
    """How a stage reads and retries."""

    model_config = ConfigDict(frozen=True)

    batch: int = Field(2_000, ge=1, description="most messages in one micro-batch of a partition")
    poll: int = Field(4_000, ge=1, description="most messages of one poll")
    wait_ms: int = Field(100, ge=0, description="how long a poll waits for messages, milliseconds")
    apart_s: float = Field(0.02, ge=0, description="least time between two micro-batches that are not full, seconds")
    counts_apart_s: float = Field(1.0, ge=0, description="the same for counters, which no viewer waits for, seconds")
    backlog: int = Field(20_000, ge=1, description="most messages that wait in memory for a partition")
    commit_every_s: float = Field(1.0, ge=0, description="time between commits of the group's offsets, seconds")
    first_retry_s: float = Field(0.1, gt=0, description="first wait after an outage; it doubles, seconds")
    most_retry_s: float = Field(5.0, gt=0, description="longest wait between two tries, seconds")
    grace_s: float = Field(10.0, ge=0, description="how long a micro-batch may take when its partition leaves, seconds")


class StageLoop:
    """Reads a topic as a member of a group, and gives each partition's messages to its work, in order.

    A micro-batch is tried again until its effects are durable; only then does its offset count as done.
    """

    def __init__(
        self,
        log: MessageLog,
        group: str,
        topic: str,
        work: Callable[[int], PartitionWork],
        metrics: StageMetrics,
        config: StageConfig,
    ) -> None:
        self._log, self.group, self.topic, self._work, self._config = log, group, topic, work, config
        self.metrics = metrics
        self._lanes: dict[int, Lane] = {}
        self._committed: dict[int, int] = {}
        self._consumer: Consumer | None = None
        self._commit_s = 0.0

    async def run(self) -> None:
        """Until cancelled; then what was begun is finished, stored and committed."""
        try:
            while True:
                entries = await self._polled()
                self._offer(entries)
                await self._commit_when_due()
        finally:
            await unhurried(self._leave())

    def _offer(self, entries: Sequence[Entry]) -> None:
        """Give each lane its messages; raise what ended one."""
        by_partition: dict[int, list[Entry]] = {}
        for entry in entries:
            by_partition.setdefault(entry.partition, []).append(entry)
        for partition, lane in self._lanes.items():
            lane.check()
            lane.offer(by_partition.get(partition, []))

    async def _polled(self) -> list[Entry]:
        """The next messages; an unreachable log is tried again, and said once."""
        delay_s = self._config.first_retry_s
        while True:
            try:
                if self._consumer is None:
                    self._consumer = await self._log.join(self.group, [self.topic], self)
                return await self._consumer.poll(self._config.poll, self._config.wait_ms)
            except Unavailable as error:
                self.metrics.outage(f"{self.group} on {self.topic}", error)
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, self._config.most_retry_s)

    async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
        """Load the state of these partitions, all or none; the offset after which to read, where it is known."""
        opened: dict[int, tuple[PartitionWork, int | None]] = {}
        try:
            for partition in sorted(partitions - self._lanes.keys()):
                work = self._work(partition)
                opened[partition] = work, None
                opened[partition] = work, await work.open()
        except BaseException:
            await both(*(work.close() for work, _ in opened.values()))
            raise
        for partition, (work, offset) in opened.items():
            lane = Lane(self._log, topic, partition, work, self._reject, self._config, self.metrics)
            lane.start(offset)
            self._lanes[partition] = lane
        taken = {partition: self._lanes[partition].taken for partition in partitions}
        return {partition: offset for partition, offset in taken.items() if offset >= 0}

    async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
        """Finish what these partitions are doing, commit it and let their state go."""
        leaving = [self._lanes[partition] for partition in sorted(partitions & self._lanes.keys())]
        await both(*(lane.stop() for lane in leaving))
        await self._commit()
        for lane in leaving:
            del self._lanes[lane.partition]
            self._committed.pop(lane.partition, None)
            self.metrics.lag.pop(lane.partition, None)

    async def _reject(self, entry: Entry, reason: str) -> None:
        assert self._consumer is not None
        _log.warning("%s %d:%d cannot be used: %s", entry.topic, entry.partition, entry.offset, reason)
        await self._consumer.reject(entry, reason)
        self.metrics.rejected += 1

    async def _commit_when_due(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if now_s - self._commit_s >= self._config.commit_every_s:
            self._commit_s = now_s
            await self._commit()

    async def _commit(self) -> None:
        """Commit what is done; an outage here is harmless: the next commit says it again."""
        done = {p: lane.done for p, lane in self._lanes.items() if lane.done > self._committed.get(p, 0)}
        if not done or self._consumer is None:
            return
        try:
            await self._consumer.commit({(self.topic, partition): offset for partition, offset in done.items()})
            self._committed.update(done)
        except Unavailable as error:
            self.metrics.outage(f"{self.group} on {self.topic}", error)

    async def _leave(self) -> None:
        consumer = self._consumer
        try:
            if consumer is not None:
                await consumer.close()
        except Unavailable as error:
            self.metrics.outage(f"{self.group} on {self.topic}", error)
        finally:
            await self.revoked(self.topic, frozenset(self._lanes))
            self._consumer = None
