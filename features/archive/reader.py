"""Archive and log as one stream: what the archive has is read there, the rest from the log, each offset once."""

import asyncio
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

import numpy as np

from core.errors import CorruptData
from core.log import Bounds, Entry, MessageLog
from core.ports import BlobStore
from features.archive.holes import lost, pieces_of, together
from features.archive.layout import HOUR_MS, SLACK_MS, Piece
from features.archive.objects import Rows, rows_of, unpack
from features.archive.shredded import Shredded

_PAGE: Final = 20_000
_KEPT_BYTES: Final = 256 << 20


class ArchivedLog:
    """One topic of archive and log together; `messages` is None where only the archive is left.

    A hole that no deletion explains raises CorruptData, or is told to `on_hole`, and what is beyond it is read.
    """

    def __init__(
        self,
        blobs: BlobStore,
        messages: MessageLog | None,
        topic: str,
        *,
        on_hole: Callable[[str], None] | None = None,
    ) -> None:
        self._blobs, self._messages, self.topic, self._on_hole = blobs, messages, topic, on_hole
        self._pieces: dict[int, list[Piece]] | None = None
        self._shredded = Shredded()
        self._kept: OrderedDict[str, Rows] = OrderedDict()
        self._kept_bytes = 0

    async def refresh(self) -> None:
        """See what was archived, and who was deleted, since."""
        by_partition = await pieces_of(self._blobs, self.topic)
        if await self._shredded.refresh(self._blobs) or by_partition != self._pieces:
            self._kept.clear()
            self._kept_bytes = 0
        self._pieces = by_partition

    async def pieces(self, partition: int) -> list[Piece]:
        """The objects to read of a partition, in order."""
        if self._pieces is None:
            await self.refresh()
        assert self._pieces is not None
        return self._pieces.get(partition, [])

    async def bounds(self) -> list[Bounds]:
        """What archive and log hold together, by partition; whether there is a hole inside only reading shows."""
        await self.refresh()
        live = await self._messages.bounds(self.topic) if self._messages is not None else []
        archived = self._pieces or {}
        count = max([len(live), *(number + 1 for number in archived)])
        return [together(archived.get(n, []), live[n] if n < len(live) else None) for n in range(count)]

    async def read(self, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages with an offset above `after`, in order; empty at the end. CorruptData for a hole."""
        rows = await self.rows(partition, after, limit)
        return rows.entries()

    async def rows(self, partition: int, after: int, limit: int = _PAGE) -> Rows:
        """The same as columns."""
        while True:
            piece = _holding(await self.pieces(partition), after + 1)
            if piece is None:
                found = await self._beyond(partition, after, limit)
                if found is not None:
                    return found
                after = await self._hole(partition, after)
                continue
            rows = await self._unpacked(piece)
            start = int(np.searchsorted(rows.offset, after, "right"))
            if start < len(rows):
                return rows.slice(start, min(start + limit, len(rows)))
            after = piece.last

    async def stream(self, partition: int, after: int = 0, until: int | None = None) -> AsyncIterator[Rows]:
        """All rows above `after` up to `until` (None: the end), page by page."""
        while until is None or after < until:
            rows = await self.rows(partition, after)
            if until is not None:
                rows = rows.slice(0, int(np.searchsorted(rows.offset, until, "right")))
            if not len(rows):
                return
            yield rows
            after = int(rows.offset[-1])

    async def between(self, partition: int, from_ms: int, to_ms: int, until: int) -> AsyncIterator[Rows]:
        """Rows up to `until` that the log took from `from_ms` to before `to_ms`; other hours' objects are not read."""
        after = 0
        while after < until:
            pieces = await self.pieces(partition)
            piece = _holding(pieces, after + 1) or _next(pieces, after)
            if piece is not None and not _within(piece, from_ms, to_ms):
                after = piece.last
                continue
            rows = await self.rows(partition, after)
            if not len(rows):
                return
            after = int(rows.offset[-1])
            kept = (rows.time_ms >= from_ms) & (rows.time_ms < to_ms) & (rows.offset <= until)
            if kept.any():
                yield rows if kept.all() else rows.take(kept)

    async def _unpacked(self, piece: Piece) -> Rows:
        """An object's rows without those of deleted viewers; the last ones read stay in memory."""
        rows = self._kept.get(piece.key)
        if rows is not None:
            self._kept.move_to_end(piece.key)
            return rows
        raw = await self._blobs.get(piece.key)
        rows = self._shredded.remaining(await asyncio.to_thread(unpack, piece, raw))
        self._kept[piece.key] = rows
        self._kept_bytes += rows.value.nbytes
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._kept_bytes -= self._kept.popitem(last=False)[1].value.nbytes
        return rows

    async def _beyond(self, partition: int, after: int, limit: int) -> Rows | None:
        """Rows of the log; None where the next offset is neither there nor archived, and later ones are."""
        while True:
            entries = await self._live(partition, after, limit)
            if entries is None or (not entries and _next(await self.pieces(partition), after)):
                return None
            rows = self._shredded.remaining(rows_of(self.topic, partition, entries))
            if len(rows) or not entries:
                return rows
            after = entries[-1].offset

    async def _live(self, partition: int, after: int, limit: int) -> list[Entry] | None:
        """Messages of the log; None where it has forgotten the next one."""
        if self._messages is None:
            return []
        try:
            entries = await self._messages.read(self.topic, partition, after, limit)
        except CorruptData:
            if await self._begins(partition) > after + 1:
                return None
            raise
        jumps = not entries or entries[0].offset > after + 1
        return None if jumps and await self._begins(partition) > after + 1 else entries

    async def _begins(self, partition: int) -> int:
        """The first offset that the log still has, or will have; 1 without a log."""
        live = [] if self._messages is None else await self._messages.bounds(self.topic)
        return live[partition].first if partition < len(live) else 1

    async def _hole(self, partition: int, after: int) -> int:
        """After another look into the archive: report what is in neither, and where to go on."""
        await self.refresh()
        if _holding(await self.pieces(partition), after + 1) is not None:
            return after
        later, begins = _next(await self.pieces(partition), after), await self._begins(partition)
        ends = [*([later.first] if later else []), *([begins] if begins > after + 1 else [])]
        if not ends:
            return after
        first, last = after + 1, min(ends) - 1
        sentence = lost(self.topic, partition, first, last)
        if self._on_hole is None:
            raise CorruptData(sentence)
        self._on_hole(sentence)
        return last


def _holding(pieces: Sequence[Piece], offset: int) -> Piece | None:
    """The piece that holds an offset, and of two the one that reaches further."""
    at = bisect_right(pieces, offset, key=lambda piece: piece.first) - 1
    return pieces[at] if at >= 0 and offset <= pieces[at].last else None


def _next(pieces: Sequence[Piece], after: int) -> Piece | None:
    """The first piece that begins above an offset."""
    at = bisect_right(pieces, after, key=lambda piece: piece.first)
    return pieces[at] if at < len(pieces) else None


def _within(piece: Piece, from_ms: int, to_ms: int) -> bool:
    return piece.hour_ms + HOUR_MS > from_ms and piece.hour_ms - SLACK_MS < to_ms
