"""A log counted again from its beginning: the rows as they were at given moments, and at the end."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from core.arrays import Array
from features.backfill.rows import Rows

P = TypeVar("P", bound="Page")
Q = TypeVar("Q", bound="Page", contravariant=True)


class Page(Protocol):
    """Some messages of a log, in order."""

    @property
    def offset(self) -> Array:
        """[messages] int64"""
        ...

    @property
    def time_ms(self) -> Array:
        """When the log took each. [messages] int64"""
        ...

    def __len__(self) -> int: ...

    def slice(self: P, start: int, stop: int) -> P:
        """Messages start..stop-1."""
        ...


class Counting(Protocol[Q]):
    """Rows that grow with a log."""

    def count(self, page: Q, as_of_ms: Array) -> None:
        """Count messages; `as_of_ms` [messages] is the moment that each counts as of."""
        ...

    def since(self, version: int) -> list[Rows]:
        """The rows that changed after an offset."""
        ...


@dataclass(frozen=True, slots=True)
class States:
    """The rows as of before `moment_ms` (None: the end) that changed since the States before; up to an offset."""

    moment_ms: int | None
    offset: int
    rows: list[Rows]


async def replay(
    pages: AsyncIterator[P], counting: Counting[P], moments_ms: Sequence[int], *, everything: bool
) -> AsyncIterator[States]:
    """Count pages and stop at each moment (ascending); with `everything` go on to the end and give every row there.

    Where a log's clock went back, a message counts as of the latest time before it.
    """
    waiting, latest, offset, given = list(moments_ms), 0, 0, 0
    async for page in pages:
        as_of = np.maximum.accumulate(np.maximum(page.time_ms, latest))
        latest, start = int(as_of[-1]), 0
        while waiting and latest >= waiting[0]:
            stop = int(np.searchsorted(as_of, waiting[0], "left"))
            if stop > start:
                counting.count(page.slice(start, stop), as_of[start:stop])
                start, offset = stop, int(page.offset[stop - 1])
            yield States(waiting.pop(0), offset, counting.since(given))
            given = offset
        if not waiting and not everything:
            return
        if start < len(page):
            counting.count(page.slice(start, len(page)), as_of[start:])
            offset = int(page.offset[-1])
    for moment in waiting:
        yield States(moment, offset, counting.since(given))
        given = offset
    if everything:
        yield States(None, offset, counting.since(0))
