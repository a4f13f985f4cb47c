"""The stage that archives: reads the topics as one consumer group and commits an offset once its object is durable."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from core.clock import Clock, system_clock
from core.errors import CorruptData, Unavailable
from core.log import Consumer, Entry, MessageLog
from core.ports import BlobStore
from core.topics import FOREVER, TOPICS
from features.archive.holes import lost, pieces_of, reached
from features.archive.layout import ARCHIVED, HOUR_MS
from features.archive.objects import Rows, pack, rows_of
from features.archive.pieces import ArchiveConfig, Gathered, PartitionOf, Pieces
from features.archive.shredded import Shredded

GROUP = "archive"
_LONGEST_RETRY_MS = 60_000

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ArchiveFigures:
    """What the archiver has done, and how far behind the log it is."""

    objects: int = 0
    rows: int = 0
    bytes: int = 0
    failed_writes: int = 0
    held_bytes: int = 0
    # How long the oldest message that is not archived yet has been on the log, ms.
    oldest_ms: int = 0
    # The share of its time on the broker that it has used.
    oldest_share: float = 0.0


class Archiver:
    """One member of the group "archive"; memory is bounded, and what it held when it died is delivered again."""

    def __init__(
        self,
        messages: MessageLog,
        blobs: BlobStore,
        clock: Clock = system_clock,
        config: ArchiveConfig | None = None,
        topics: Sequence[str] = ARCHIVED,
        tell: Callable[[str], None] = log.warning,
    ) -> None:
        self._messages, self._blobs, self._clock, self._topics, self._tell = messages, blobs, clock, topics, tell
        self.config = config or ArchiveConfig()
        self._pieces, self._shredded = Pieces(self.config), Shredded()
        self._consumer: Consumer | None = None
        self._durable: dict[PartitionOf, int] = {}
        self._told_ms = -HOUR_MS
        self.figures = ArchiveFigures()

    async def run(self) -> None:
        """Archive until cancelled, waiting for a store or a log that does not answer; then write what is held."""
        wait_ms = self.config.retry_ms
        try:
            while True:
                try:
                    await self.step()
                    wait_ms = self.config.retry_ms
                except Unavailable as error:
                    self._failed(error)
                    await asyncio.sleep(wait_ms / 1000)
                    wait_ms = min(2 * wait_ms, _LONGEST_RETRY_MS)
        finally:
            try:
                await self.close()
            except Unavailable as error:
                self._failed(error)

    def _failed(self, error: Unavailable) -> None:
        self.figures.failed_writes += 1
        self._tell(error.sentence)

    async def step(self) -> int:
        """Read once, write what is due, commit it; how many messages were read. Unavailable, StorageFull."""
        entries: list[Entry] = []
        # With a store that does not take them, messages stay where they are: on the broker.
        if self._pieces.held_bytes <= self.config.most_bytes:
            entries = await self._poll()
            self._pieces.add(entries, self._clock())
        self._watch()
        self._pieces.close_due(self._clock())
        await self._write()
        return len(entries)

    async def _poll(self) -> list[Entry]:
        """Read once; where the log forgot what comes next, join again: `assigned` reports the hole and goes on."""
        fresh = self._consumer is None
        if self._consumer is None:
            self._consumer = await self._messages.join(GROUP, self._topics, self)
        try:
            return await self._consumer.poll(self.config.poll_limit, self.config.poll_wait_ms)
        except CorruptData:
            if fresh:
                raise
            await self.close()
            return []

    async def flush(self) -> None:
        """Write all that is held, whatever its hour, and commit it."""
        self._pieces.close_due(self._clock(), everything=True)
        await self._write()

    async def close(self) -> None:
        """Write all that is held and leave the group."""
        if self._consumer is not None:
            try:
                await self.flush()
            finally:
                consumer, self._consumer = self._consumer, None
                await consumer.close()

    async def assigned(self, topic: str, partitions: frozenset[int]) -> Mapping[int, int]:
        """Go on after what the archive has; what the log forgot before it was archived is told, and passed over.

        Raises CorruptData where the archive is another log's.
        """
        self._pieces.drop((topic, partition) for partition in partitions)
        live = await self._messages.bounds(topic)
        archived = await pieces_of(self._blobs, topic)
        found = {partition: reached(archived.get(partition, []), live[partition]) for partition in partitions}
        for partition, after in found.items():
            if after < live[partition].first - 1:
                found[partition] = live[partition].first - 1
                self._tell(lost(topic, partition, after + 1, live[partition].first - 1))
            self._durable[topic, partition] = found[partition]
        return found

    async def revoked(self, topic: str, partitions: frozenset[int]) -> None:
        """Write and commit what was read of them; where that fails it is delivered to the next owner again."""
        places = [(topic, partition) for partition in partitions]
        try:
            self._pieces.close_due(self._clock(), everything=True, of=places)
            await self._write()
        except Unavailable as error:
            self._tell(error.sentence)
        self._pieces.drop(places)
        for place in places:
            self._durable.pop(place, None)

    async def _write(self) -> None:
        """Put every closed piece and commit it; an object that is durable is not written again when a commit fails."""
        for place, gathered in self._pieces.closed():
            await self._put(gathered)
            self._pieces.done(place)
            self._durable[place] = gathered.piece.last
        self.figures.held_bytes = self._pieces.held_bytes
        if self._durable and self._consumer is not None:
            await self._consumer.commit(dict(self._durable))
            self._durable.clear()

    async def _put(self, gathered: Gathered) -> None:
        piece = gathered.piece
        rows = rows_of(piece.topic, piece.partition, gathered.entries)
        await self._shredded.refresh(self._blobs)
        written = True
        while written:
            raw = await asyncio.to_thread(self._packed, rows)
            await self._blobs.put(piece.key, raw)
            # A deletion that came in between did not see this object.
            written = await self._shredded.refresh(self._blobs)
        self.figures.objects += 1
        self.figures.rows += len(rows)
        self.figures.bytes += len(raw)

    def _packed(self, rows: Rows) -> bytes:
        kept = self._shredded.remaining(rows)
        return pack(kept, len(rows) - len(kept))

    def _watch(self) -> None:
        """Measure how far behind the archive is, and say so once an hour where the broker may soon forget."""
        now_ms, figures = self._clock(), self.figures
        figures.oldest_ms, figures.oldest_share = 0, 0.0
        for entry in self._pieces.oldest().values():
            age_ms, keeps_ms = now_ms - entry.time_ms, TOPICS[entry.topic].retention_ms
            figures.oldest_ms = max(figures.oldest_ms, age_ms)
            share = 0.0 if keeps_ms == FOREVER else age_ms / keeps_ms
            figures.oldest_share = max(figures.oldest_share, share)
            if share > 0.5 and now_ms - self._told_ms >= HOUR_MS:
                self._told_ms = now_ms
                self._tell(
                    f"The archive is behind: offset {entry.offset} of {entry.topic} partition {entry.partition} is"
                    f" {age_ms // HOUR_MS} h old and the broker keeps it for {keeps_ms // HOUR_MS} h; start more"
                    " archivers, or look why their writes fail."
                )
