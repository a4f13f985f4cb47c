"""Many partitions in one order: by the log's time, ties by partition; a partition's own order is always kept.

Where a partition's clock went back, a message counts as of the latest time before it.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from core.arrays import Array
from features.archive.objects import Rows, joined

_NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Ordered:
    """Messages of all partitions in the one order, as columns: NumPy int64, Arrow binary."""

    partition: Array
    offset: Array
    time_ms: Array
    value: Any

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(slots=True)
class _Head:
    """What was read of a partition and not given yet; `as_of` never goes back."""

    stream: AsyncIterator[Rows]
    rows: list[Rows] = field(default_factory=list)
    as_of: Array = field(default_factory=lambda: np.zeros(0, np.int64))
    latest: int = 0
    ended: bool = False

    async def extend(self) -> None:
        """Read another page."""
        page = await anext(self.stream, None)
        if page is None:
            self.ended = True
            return
        as_of = np.maximum.accumulate(np.maximum(page.time_ms, self.latest))
        self.latest = int(as_of[-1])
        self.rows.append(page)
        self.as_of = np.concatenate([self.as_of, as_of])

    @property
    def safe_before(self) -> int:
        """No row that is still to be read comes before this."""
        return _NEVER if self.ended else self.latest

    def before(self, moment: int) -> tuple[Rows, Array] | None:
        """Take the rows before a moment."""
        count = int(np.searchsorted(self.as_of, moment, "left"))
        if count == 0:
            return None
        rows, as_of = joined(self.rows), self.as_of
        self.rows, self.as_of = [rows.slice(count, len(rows))] if count < len(rows) else [], as_of[count:]
        return rows.slice(0, count), as_of[:count]


async def ordered(streams: Sequence[AsyncIterator[Rows]]) -> AsyncIterator[Ordered]:
    """The rows of every partition's stream in the one order; holds some pages of each in memory."""
    heads = [_Head(stream) for stream in streams]
    for head in heads:
        await head.extend()
    while heads:
        moment = min(head.safe_before for head in heads)
        if parts := [part for head in heads if (part := head.before(moment)) is not None]:
            yield _merged(parts)
        for head in heads:
            if head.safe_before == moment and not head.ended:
                await head.extend()
        heads = [head for head in heads if not head.ended or len(head.as_of)]


def _merged(parts: Sequence[tuple[Rows, Array]]) -> Ordered:
    rows = [part for part, _ in parts]
    partition = np.concatenate([np.full(len(part), part.partition, np.int64) for part in rows])
    offset, time_ms = (np.concatenate([getattr(part, name) for part in rows]) for name in ("offset", "time_ms"))
    order = np.lexsort((offset, partition, np.concatenate([as_of for _, as_of in parts])))
    value = pa.concat_arrays([part.value for part in rows]).take(pa.array(order))
    return Ordered(partition[order], offset[order], time_ms[order], value)
