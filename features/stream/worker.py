"""A worker process of the stream: any of the roles, all at once, until it is told to end."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.log import MessageLog
from core.ports import HistoryStore, Tables
from core.topics import COUNTS, USER_INTERACTION, VIDEO_PROCESSED
from features.stream.apply_stage import Apply, ApplyWork
from features.stream.catalogue import RegistrarWork
from features.stream.counter_stage import CounterWork
from features.stream.kept_state import KeptConfig, Places
from features.stream.lane import PartitionWork, StageMetrics
from features.stream.loop import StageConfig, StageLoop
from features.stream.viewer_stage import Inlet, ViewerWork
from features.stream.warm import rarely_collected, warm_kernels


class Role(Protocol):
    """What a worker runs."""

    async def run(self) -> None:
        """Until cancelled; then what was begun is finished."""
        ...


def registrar(log: MessageLog, config: StageConfig) -> StageLoop:
    """video.processed -> foryou.catalogue."""
    return _loop(log, "catalogue", VIDEO_PROCESSED, lambda partition, metrics: RegistrarWork(log), config)


def viewers(inlet: Inlet, places: Places, config: StageConfig, kept: KeptConfig) -> StageLoop:
    """user.interaction -> viewers' rows and foryou.counts."""

    def work(partition: int, metrics: StageMetrics) -> PartitionWork:
        return ViewerWork(partition, inlet, places, metrics, kept)

    return _loop(inlet.log, "features", USER_INTERACTION, work, config)


def counters(inlet: Inlet, places: Places, config: StageConfig, kept: KeptConfig) -> StageLoop:
    """foryou.counts -> rows of videos, authors and trends, and video.state."""

    def work(partition: int, metrics: StageMetrics) -> PartitionWork:
        return CounterWork(partition, inlet, places, metrics, kept)

    spaced = config.model_copy(update={"apart_s": config.counts_apart_s})
    return _loop(inlet.log, "counters", COUNTS, work, spaced)


def history(log: MessageLog, store: HistoryStore, config: StageConfig) -> StageLoop:
    """user.interaction -> HistoryStore."""
    return applied(log, "history", USER_INTERACTION, store.record, config)


def relations(log: MessageLog, tables: Tables, config: StageConfig) -> StageLoop:
    """user.interaction -> who follows and blocks whom."""
    return applied(log, "relations", USER_INTERACTION, tables.relate, config)


def applied(log: MessageLog, group: str, topic: str, apply: Apply, config: StageConfig) -> StageLoop:
    """Any topic of events -> a store that takes a record twice without harm."""
    return _loop(log, group, topic, lambda partition, metrics: ApplyWork(apply, metrics), config)


def _loop(
    log: MessageLog,
    group: str,
    topic: str,
    work: Callable[[int, StageMetrics], PartitionWork],
    config: StageConfig,
) -> StageLoop:
    metrics = StageMetrics()
    return StageLoop(log, group, topic, lambda partition: work(partition, metrics), metrics, config)


@dataclass(slots=True)
class Worker:
    """Runs roles by name in one process; the catalogue's follower is loaded and follows as long as they run."""

    roles: Mapping[str, Role]
    inlet: Inlet | None = None
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)

    async def run(self) -> None:
        """Until cancelled, or until a role ends with an error, which is raised when the others have ended too."""
        if self.inlet is not None:
            await asyncio.to_thread(warm_kernels)
            await self.inlet.catalogue.load()
            self._tasks.append(asyncio.create_task(self.inlet.catalogue.follow(), name="catalogue"))
        with rarely_collected():
            outcomes = await self._finished()
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                raise outcome

    async def _finished(self) -> list[object]:
        """What each role and the follower ended with, after the first of them failed or we were cancelled."""
        self._tasks += [asyncio.create_task(role.run(), name=name) for name, role in self.roles.items()]
        try:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            # The roles first: what they finish may need the catalogue.
            for task in reversed(self._tasks):
                task.cancel()
            outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        return list(outcomes)

    def metrics(self) -> dict[str, StageMetrics]:
        """What each stage has done, by role."""
        return {name: role.metrics for name, role in self.roles.items() if isinstance(role, StageLoop)}
