"""A partition's rows in the online store, and the marks by which rows that were lost, or came late, are found out."""

import asyncio
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from core.clock import system_clock
from core.errors import Unavailable
from core.ports import FeatureStore, PartitionState
from features.stream.lane import unhurried

_PAGE: Final = 2_000
_RANDOM_BITS: Final = 20

Split = Callable[[str], tuple[str, str]]
StoredRow = tuple[str, int, bytes]


class OnlineRows:
    """Writes changed rows (id, version, bytes) to the online store.

    Each write carries, as the mark of `name`, the offset up to which all *earlier* writes are known to be there. A mark
    that went back says that the store lost rows: every row above it is written again. A store that was emptied is found
    out by the mark's birth, which is written only once all rows are there. A mark that is ahead of ours says that
    another process wrote up to there, and rows at or below it are left as they are; unless it is beyond `end`, the
    partition's end when we came: then it is of another log, and counts for nothing.

    A partition has one writer, but one that was replaced may not know it yet, and its last write may come late, with
    rows older than those that are there. So each write is signed, and learns who signed last: where that is another,
    the rows above the mark of that write are written again. Who finds the signature of one who came later does not
    write: its partition is about to be taken from it. Only when it still has it after `replaced_s` it signs anew.
    """

    def __init__(
        self, features: FeatureStore, state: PartitionState, name: str, split: Split, end: int, replaced_s: float = 10.0
    ) -> None:
        self._features, self._state, self._split, self._end = features, state, split, end
        self._name, self._birth, self._writer = name, f"{name}:birth", f"{name}:writer"
        self._replaced_s = replaced_s
        self._signature = 0  # ours, once we have claimed the rows
        self._yields_until_s = 0.0
        self._marked: int | None = None  # the mark as we last wrote or read it
        self._doubted: int | None = None  # rows above this offset may be another's
        self._reached = 0  # everything up to here is in the store
        self._unborn = False
        self._looked_s = -math.inf
        self.rewritten = 0

    async def write(self, rows: Sequence[StoredRow], offset: int) -> None:
        """Write rows, which make the state what it is at `offset`. Raises Unavailable."""
        while True:
            mark = await self._checked()
            news = self._named((key, raw) for key, version, raw in rows if version > mark)
            if await self._put(news, max(self._reached, mark)):
                self._reached = max(self._reached, offset)
                return

    async def look(self, apart_s: float = 1.0) -> None:
        """See whether our rows are there, at first and where we looked so long ago. Raises Unavailable."""
        if self._owns() and _now_s() - self._looked_s >= apart_s:
            await self._checked()

    async def finish(self) -> None:
        """Say that all is there, so that who comes next need not look. Raises Unavailable."""
        while self._owns():
            mark = await self._checked()
            if self._unborn or self._reached <= mark or await self._put({}, self._reached):
                return

    def _owns(self) -> bool:
        """Whether there are rows to look after."""
        return self._marked is not None or self._state.position()[0] > 0

    async def _checked(self) -> int:
        """The store's mark, after rows above it were written again where it should be further on."""
        while True:
            stored, birth, writer = await self._features.marks([self._name, self._birth, self._writer])
            self._looked_s = _now_s()
            if writer != self._signature or not writer:
                await self._sign(writer, stored)
                continue
            foreign = self._marked is None and stored > self._end
            mark, self._unborn = (0, True) if foreign or not birth else (stored, False)
            if self._doubted is not None:
                mark = min(mark, self._doubted)
            elif self._marked is not None and mark >= self._marked:
                self._marked = mark
                return mark
            self._reached, _ = self._state.position()
            if mark >= self._reached or await self._rewritten(mark):
                self._marked, self._doubted = max(mark, self._reached), None
                return self._marked

    async def _sign(self, writer: int, mark: int) -> None:
        """Claim the rows as their latest writer; from one who came later only when our partition was not taken."""
        if self._signature and writer > self._signature:
            self._yields_until_s = self._yields_until_s or _now_s() + self._replaced_s
            if _now_s() < self._yields_until_s:
                raise Unavailable(f"Another worker has taken over the rows of {self._name}.")
        if not self._signature or writer > self._signature:
            later_ms = max(writer >> _RANDOM_BITS, system_clock()) + 1
            self._signature = later_ms << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
        if self._marked is not None:
            self._doubt(mark)
        self._yields_until_s = 0.0
        await self._features.write({}, {self._writer: self._signature})

    def _doubt(self, mark: int) -> None:
        self._doubted = mark if self._doubted is None else min(self._doubted, mark)

    async def _put(self, rows: Mapping[str, Mapping[str, bytes]], mark: int, whole: bool = True) -> bool:
        """One signed write, `whole` where all rows are there with it; False where another signed since our last."""
        birth = {self._birth: 1} if whole and self._unborn else {}
        before = await self._features.write(rows, {self._name: mark, self._writer: self._signature, **birth})
        self._marked = mark
        if before[self._writer] == self._signature:
            self._unborn = self._unborn and not whole
            return True
        self._doubt(min(before[self._name], mark))
        await self._features.write({}, {self._name: self._doubted or 0})  # for who comes next, should we end here
        return False

    async def _rewritten(self, mark: int) -> bool:
        """Every row above the mark again, page by page, and the mark after them; False where another disturbed."""
        after = 0
        # Finished once begun, as a commit is: asking folds what waits, and the file must not be let go meanwhile.
        while page := await unhurried(asyncio.to_thread(self._state.rows_since, mark, after, _PAGE)):
            after = page[-1][0]
            if not await self._put(self._named((key, raw) for _, key, raw in page), mark, whole=False):
                return False
            self.rewritten += len(page)
        return await self._put({}, self._reached)

    def _named(self, rows: Iterable[tuple[str, bytes]]) -> dict[str, dict[str, bytes]]:
        named: dict[str, dict[str, bytes]] = {}
        for key, raw in rows:
            entity, identity = self._split(key)
            named.setdefault(entity, {})[identity] = raw
        return named


def _now_s() -> float:
    return asyncio.get_running_loop().time()
