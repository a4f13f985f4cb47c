"""One partition of a stage: its waiting messages, its task, and the state that its work keeps."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from core.errors import ForyouError, Unavailable
from core.log import Entry, MessageLog

if TYPE_CHECKING:
    from features.stream.loop import StageConfig

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_IDLE_S: Final = 0.25

Reject = Callable[[Entry, str], Awaitable[None]]


@dataclass(slots=True)
class StageMetrics:
    """What a stage has done; `lag` messages by partition, `stale_ms` from an event's intake to its being applied."""

    processed: int = 0
    rejected: int = 0
    duplicates: int = 0
    retries: int = 0
    stale_ms: int = 0
    lag: dict[int, int] = field(default_factory=dict)
    last_outage: str = ""

    def outage(self, where: str, error: ForyouError) -> None:
        """Count a try that failed; the same sentence is logged once."""
        self.retries += 1
        sentence = f"{where}: {error.sentence}"
        if sentence != self.last_outage:
            _log.warning("%s", sentence)
            self.last_outage = sentence


class PartitionWork(Protocol):
    """What a stage does with one partition, whose only writer it is."""

    async def open(self) -> int | None:
        """Load its state; the offset that it includes, None where the group's commit counts. Unavailable."""
        ...

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Durable when it returns; after Unavailable it is called again with the same entries."""
        ...

    async def tick(self) -> None:
        """What falls due with time; called after each micro-batch and when idle. Unavailable: at the next tick."""
        ...

    async def close(self) -> None:
        """Let its state go."""
        ...


class Lane:
    """Feeds one partition's work in order. What does not fit into memory is read from the log again later."""

    def __init__(
        self,
        log: MessageLog,
        topic: str,
        partition: int,
        work: PartitionWork,
        reject: Reject,
        config: "StageConfig",
        metrics: StageMetrics,
    ) -> None:
        self._log, self._topic, self.partition, self._work = log, topic, partition, work
        self._reject, self._config, self._metrics = reject, config, metrics
        self._waiting: deque[Entry] = deque()
        self._news = asyncio.Event()
        self._stopping = False
        self._beyond = 0  # the last offset that did not fit into memory, 0 when all did
        self._rejected: set[int] = set()
        self._task: asyncio.Task[None] | None = None
        self.taken = -1  # the last offset that the work need not see again, -1 while that is unknown
        self.done = 0
        self._end = 0  # the last offset that was offered
        self._begun_s = 0.0  # when the last micro-batch began

    def start(self, offset: int | None) -> None:
        """Begin after this offset (None: where the log begins for us)."""
        if offset is not None:
            self.taken = self.done = self._end = offset
        self._task = asyncio.create_task(self._run(), name=f"{self._topic}-{self.partition}")

    def check(self) -> None:
        """Raise what ended the task."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    def offer(self, entries: Sequence[Entry]) -> None:
        """More messages, in order; those that were offered before are passed over."""
        entries = beyond(self._end, entries)
        if not entries:
            return
        if self.taken < 0:
            self.taken = entries[0].offset - 1
        self._end = entries[-1].offset
        if self._beyond or len(self._waiting) + len(entries) > self._config.backlog:
            self._beyond = self._end
        else:
            self._waiting.extend(entries)
        self._news.set()

    async def stop(self) -> None:
        """Finish the micro-batch that is being applied, for some time; let the state go."""
        self._stopping = True
        self._news.set()
        if self._task is not None:
            finished, _ = await asyncio.wait([self._task], timeout=self._config.grace_s)
            if not finished:
                self._task.cancel()
                await asyncio.wait([self._task])
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                _log.error(
                    "%s ended with %r; what it was doing is done again by whoever comes next.", self._name, error
                )
        await self._work.close()

    async def _run(self) -> None:
        while not self._stopping:
            entries = await self._next()
            if entries:
                if not await self._finish(entries):
                    return
                self.done = self.taken = entries[-1].offset
                self._rejected.clear()
                self._metrics.processed += len(entries)
            self._metrics.lag[self.partition] = max(self._end - self.done, 0)
            await self._tick()

    async def _next(self) -> Sequence[Entry]:
        """The next micro-batch, empty after a while without one."""
        waiting, size = self._waiting, self._config.batch
        if not waiting and self._beyond:
            return await self._read_again()
        if not waiting:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), _IDLE_S)
            except TimeoutError:
                return []
        await self._space()
        taken = [waiting.popleft() for _ in range(min(size, len(waiting)))]
        return beyond(self.taken, taken)

    async def _space(self) -> None:
        """Let a small micro-batch grow: most of what it costs does not depend on its size."""
        loop = asyncio.get_running_loop()
        left_s = self._begun_s + self._config.apart_s - loop.time()
        if left_s > 0 and len(self._waiting) < self._config.batch and not self._stopping:
            await asyncio.sleep(left_s)
        self._begun_s = loop.time()

    async def _read_again(self) -> list[Entry]:
        try:
            entries = await self._log.read(self._topic, self.partition, max(self.taken, 0), self._config.batch)
        except Unavailable as error:
            self._metrics.outage(self._name, error)
            await asyncio.sleep(self._config.first_retry_s)
            return []
        if not entries:  # they are there: an empty answer only came too soon
            await asyncio.sleep(self._config.first_retry_s)
        elif entries[-1].offset >= self._beyond:
            self._beyond = 0
        return entries

    async def _finish(self, entries: Sequence[Entry]) -> bool:
        """Apply until it is durable; False when the partition left us first."""
        delay_s = self._config.first_retry_s
        while not self._stopping:
            try:
                await self._work.apply(entries, self._refuse)
                return True
            except Unavailable as error:
                self._metrics.outage(self._name, error)
                await self._pause(delay_s)
                delay_s = min(2 * delay_s, self._config.most_retry_s)
        return False

    async def _pause(self, delay_s: float) -> None:
        """Sleep, but not when the partition is to leave."""
        until = asyncio.get_running_loop().time() + delay_s
        while not self._stopping and (left := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, _IDLE_S))

    async def _refuse(self, entry: Entry, reason: str) -> None:
        """Reject a message once, however often its micro-batch is tried."""
        if entry.offset not in self._rejected:
            await self._reject(entry, reason)
            self._rejected.add(entry.offset)

    async def _tick(self) -> None:
        try:
            await self._work.tick()
        except Unavailable as error:
            self._metrics.outage(self._name, error)

    @property
    def _name(self) -> str:
        return f"{self._topic} {self.partition}"


def beyond(offset: int, entries: Sequence[Entry]) -> Sequence[Entry]:
    """The messages, in order, without those at or below the offset."""
    if not entries or entries[0].offset > offset:
        return entries
    return [entry for entry in entries if entry.offset > offset]


async def both(*effects: Awaitable[None]) -> None:
    """Run effects at once and wait for all, also where one fails; then the first failure."""
    for outcome in await asyncio.gather(*effects, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def unhurried(ending: Coroutine[Any, Any, _T]) -> _T:
    """What an ending gives, run to its end however often who waits for it is cancelled meanwhile; then they are."""
    task, cancelled = asyncio.create_task(ending), False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    result = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return result
