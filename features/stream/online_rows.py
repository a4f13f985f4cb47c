"""A partition's rows in the online store, and the mark by which a store that lost some is found out."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from core.ports import FeatureStore, PartitionState
from features.stream.lane import unhurried

_PAGE: Final = 2_000

Split = Callable[[str], tuple[str, str]]
StoredRow = tuple[str, int, bytes]


class OnlineRows:
    """Writes changed rows (id, version, bytes) to the online store.

    Each write carries, as the mark of `name`, the offset up to which all *earlier* writes are known to be there. A mark
    that went back says that the store lost rows: every row above it is written again. A store that was emptied is found
    out by the mark's birth, which is written only once all rows are there. A mark that is ahead of ours says that
    another process wrote up to there, and rows at or below it are left as they are; unless it is beyond `end`, the
    partition's end when we came: then it is of another log, and counts for nothing.
    """

    def __init__(self, features: FeatureStore, state: PartitionState, name: str, split: Split, end: int) -> None:
        self._features, self._state, self._split, self._end = features, state, split, end
        self._name, self._birth = name, f"{name}:birth"
        self._marked: int | None = None  # the mark as we last wrote or read it
        self._reached = 0  # everything up to here is in the store
        self._unborn = False
        self.rewritten = 0

    async def write(self, rows: Sequence[StoredRow], offset: int) -> None:
        """Write rows, which make the state what it is at `offset`. Raises Unavailable."""
        mark = await self._checked()
        news = self._named((key, raw) for key, version, raw in rows if version > mark)
        self._marked = max(self._reached, mark)
        await self._features.write(news, {self._name: self._marked} | ({self._birth: 1} if self._unborn else {}))
        self._reached, self._unborn = max(self._reached, offset), False

    async def finish(self) -> None:
        """Say that all is there, so that who comes next need not look."""
        if self._marked is not None and self._reached > self._marked and not self._unborn:
            await self._features.write({}, {self._name: self._reached})
            self._marked = self._reached

    async def _checked(self) -> int:
        """The store's mark, after rows above it were written again where it should be further on."""
        stored, birth = await self._features.marks([self._name, self._birth])
        foreign = self._marked is None and stored > self._end
        mark, self._unborn = (0, True) if foreign or not birth else (stored, False)
        if self._marked is None or mark < self._marked:
            self._reached, _ = self._state.position()
            if mark < self._reached:
                await self._rewrite(mark)
        self._marked = mark
        return mark

    async def _rewrite(self, mark: int) -> None:
        """Every row above the mark again, page by page; the mark follows with the next write."""
        after = 0
        # Finished once begun, as a commit is: asking folds what waits, and the file must not be let go meanwhile.
        while page := await unhurried(asyncio.to_thread(self._state.rows_since, mark, after, _PAGE)):
            after = page[-1][0]
            await self._features.write(self._named((key, raw) for _, key, raw in page), {self._name: mark})
            self.rewritten += len(page)

    def _named(self, rows: Iterable[tuple[str, bytes]]) -> dict[str, dict[str, bytes]]:
        named: dict[str, dict[str, bytes]] = {}
        for key, raw in rows:
            entity, identity = self._split(key)
            named.setdefault(entity, {})[identity] = raw
        return named
