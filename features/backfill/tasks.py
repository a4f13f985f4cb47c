"""A backfill as tasks, one for each partition, that can run anywhere: here one after the other, or on Ray."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from core.errors import InputError, NotFound
from core.log import MessageLog
from core.ports import BlobStore, FeatureStore
from core.topics import CATALOGUE, COUNTS, USER_INTERACTION
from features.archive.reader import ArchivedLog
from features.backfill.catalogue import WholeCatalogue, read_catalogue
from features.backfill.counters import CounterReplay
from features.backfill.output import Output
from features.backfill.recount import Recount, numbered
from features.backfill.replay import States, replay
from features.backfill.viewers import ViewerReplay
from features.packed import pack_rows

Role = Literal["viewers", "counters", "recount"]
_TOPICS: Final[Mapping[Role, str]] = {
    "viewers": USER_INTERACTION,
    "counters": COUNTS,
    "recount": USER_INTERACTION,
}


@dataclass(frozen=True, slots=True)
class Sources:
    """What a backfill reads and, with `features`, writes; `messages` is None where only the archive is left."""

    blobs: BlobStore
    messages: MessageLog | None
    features: FeatureStore | None = None
    close: Callable[[], Awaitable[None]] | None = None

    def log(self, topic: str) -> ArchivedLog:
        """A topic of archive and log as one."""
        return ArchivedLog(self.blobs, self.messages, topic)


class Task(msgspec.Struct, frozen=True):
    """One partition's share; `until` is the last offset to count, of every partition for a recount."""

    role: Role
    partition: int
    until: tuple[int, ...]
    moments_ms: tuple[int, ...] = ()
    everything: bool = False

    @property
    def name(self) -> str:
        """As figures and files call it."""
        return f"{self.role}-{self.partition:04d}"


class Counted(msgspec.Struct, frozen=True):
    """What a task did."""

    task: str
    offset: int
    counted: int
    duplicates: int
    unusable: int
    rows: int


async def plan(sources: Sources, moments_ms: Sequence[int], *, everything: bool) -> list[Task]:
    """The tasks up to what archive and log have now. NotFound where they have nothing."""
    events = await sources.log(USER_INTERACTION).bounds()
    if not any(bounds.last for bounds in events):
        raise NotFound(
            f"Neither the archive nor the log has any {USER_INTERACTION}; name the folder of the archive with --home,"
            " or put events on the log with `foryou import`."
        )
    counts = await sources.log(COUNTS).bounds()
    moments = tuple(moments_ms)
    tasks = [Task("viewers", number, (bounds.last,), moments, everything) for number, bounds in enumerate(events)]
    if any(bounds.last for bounds in counts):
        return tasks + [
            Task("counters", number, (bounds.last,), moments, everything) for number, bounds in enumerate(counts)
        ]
    return [*tasks, Task("recount", 0, tuple(bounds.last for bounds in events), moments, everything)]


async def count(sources: Sources, catalogue: WholeCatalogue, task: Task) -> AsyncIterator[tuple[States, Any]]:
    """The states that a task leads to, with what counted them. CorruptData for a hole or a damaged object."""
    log = sources.log(_TOPICS[task.role])
    moments = task.moments_ms
    if task.role == "recount":
        recount = Recount(catalogue)
        async for states in replay(numbered(log, task.until), recount, moments, everything=task.everything):
            yield states, recount
        return
    counting = ViewerReplay(catalogue) if task.role == "viewers" else CounterReplay(catalogue)
    pages = log.stream(task.partition, 0, task.until[0])
    async for states in replay(pages, counting, moments, everything=task.everything):
        yield states, counting


async def run_task(sources: Sources, catalogue: WholeCatalogue, task: Task, output: Output) -> Counted:
    """Count one task's share and write what it leads to."""
    rows, found = 0, Counted(task.name, 0, 0, 0, 0, 0)
    async for states, counting in count(sources, catalogue, task):
        rows += await output.put(states, task.name)
        found = Counted(task.name, states.offset, counting.counted, counting.duplicates, counting.unusable, rows)
    return found


async def replay_to(
    sources: Sources, viewers: Mapping[int, int], counters: Mapping[int, int]
) -> dict[str, dict[str, bytes]]:
    """Packed rows by entity and id as they were when these offsets of user.interaction and foryou.counts were applied.

    Equal to the stream's rows but for the schema's stamp and when they were applied.
    """
    catalogue = await read_catalogue(sources.log(CATALOGUE))
    tasks = [Task("viewers", partition, (until,), (), True) for partition, until in viewers.items()]
    tasks += [Task("counters", partition, (until,), (), True) for partition, until in counters.items()]
    found: dict[str, dict[str, bytes]] = {"viewer": {}, "video": {}, "author": {}, "trend": {}}
    for task in tasks:
        async for states, _ in count(sources, catalogue, task):
            for rows in states.rows:
                found[rows.entity] |= zip(rows.ids, pack_rows(rows.records), strict=True)
    return found


def moments_between(from_ms: int, to_ms: int, day_ms: int = 86_400_000) -> list[int]:
    """The midnights from one to another, both included. InputError where there is no day between them."""
    if to_ms <= from_ms:
        raise InputError("The day given by --to does not come after --from; a backfill is of at least one day.")
    return list(range(from_ms, to_ms + 1, day_ms))
