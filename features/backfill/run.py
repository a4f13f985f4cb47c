"""Runs a backfill's tasks: in this process, or spread over Ray; the same code and the same rows either way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from core import errors
from core.errors import ForyouError
from core.topics import CATALOGUE
from features.backfill.catalogue import WholeCatalogue, read_catalogue
from features.backfill.output import Output
from features.backfill.tasks import Counted, Sources, Task, plan, run_task

# Opens what a task needs wherever it runs; it is sent there, so it is a function of a module or a partial of one.
Opener = Callable[[], Awaitable[Sources]]
Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


async def run_here(
    open_sources: Opener, home: Path, created_us: int, moments_ms: Sequence[int],
    *, online: bool, progress: Progress = silent,
) -> list[Counted]:  # fmt: skip
    """Plan and run every task, one after the other. NotFound, CorruptData, Unavailable, StorageFull."""
    sources = await open_sources()
    try:
        tasks = await plan(sources, moments_ms, everything=online)
        catalogue = await read_catalogue(sources.log(CATALOGUE))
        output = Output(home, created_us, sources.features if online else None)
        found = []
        for number, task in enumerate(tasks):
            progress("partitions", number, len(tasks))
            found.append(await run_task(sources, catalogue, task, output))
        progress("partitions", len(tasks), len(tasks))
        return found
    finally:
        if sources.close is not None:
            await sources.close()


class _Outcome(msgspec.Struct, frozen=True):
    """What a task counted, or the class in core.errors and the sentence of what ended it."""

    counted: Counted | None = None
    error: str = ""
    sentence: str = ""


class Worker:
    """A Ray actor: opens what it needs once, and runs the tasks that it is given."""

    def __init__(self, open_sources: Opener, home: Path, created_us: int, online: bool) -> None:
        self._open, self._online = open_sources, online
        self._output = Output(home, created_us)
        self._catalogue: WholeCatalogue | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Run the tasks of a batch; what each counted, or the name and the sentence of its error."""
        done = [asyncio.run(self._outcome(msgspec.json.decode(raw, type=Task))) for raw in batch["task"]]
        return {"counted": np.array(done, object)}

    async def _outcome(self, task: Task) -> str:
        try:
            outcome = _Outcome(await self._run(task))
        except ForyouError as error:  # as data: on its way through Ray an exception loses what it was
            outcome = _Outcome(None, type(error).__name__, error.sentence)
        return msgspec.json.encode(outcome).decode()

    async def _run(self, task: Task) -> Counted:
        sources = await self._open()
        try:
            if self._catalogue is None:
                self._catalogue = await read_catalogue(sources.log(CATALOGUE))
            output = replace(self._output, online=sources.features if self._online else None)
            return await run_task(sources, self._catalogue, task, output)
        finally:
            if sources.close is not None:
                await sources.close()


async def run_on_ray(
    open_sources: Opener, home: Path, created_us: int, moments_ms: Sequence[int],
    *, online: bool, workers: int, progress: Progress = silent,
) -> list[Counted]:  # fmt: skip
    """The same on Ray: each of `workers` actors takes the next partition when it has finished one.

    Ray must be reachable or is started here; `home` must be a folder that every worker sees.
    """
    sources = await open_sources()
    try:
        tasks = await plan(sources, moments_ms, everything=online)
    finally:
        if sources.close is not None:
            await sources.close()
    progress("partitions on Ray", 0, 0)
    return await asyncio.to_thread(_spread, tasks, (open_sources, home, created_us, online), workers)


def _spread(tasks: Sequence[Task], arguments: tuple[Any, ...], workers: int) -> list[Counted]:
    import ray
    import ray.data

    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [{"task": msgspec.json.encode(task).decode()} for task in tasks]
    spread = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Worker,
        batch_size=1,
        fn_constructor_args=arguments,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(items))),
    )
    found = [_succeeded(row["counted"]) for row in spread.take_all()]
    order = {task.name: number for number, task in enumerate(tasks)}
    return sorted(found, key=lambda each: order[each.task])


def _succeeded(raw: str) -> Counted:
    """What a task counted; raises the error that ended it."""
    outcome = msgspec.json.decode(raw, type=_Outcome)
    if outcome.counted is None:
        kind: type[ForyouError] = getattr(errors, outcome.error, ForyouError)
        raise kind(outcome.sentence)
    return outcome.counted
