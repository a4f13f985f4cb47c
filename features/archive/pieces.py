"""What the archive holds in memory: messages gathered into pieces, one open for each partition, until they are due."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from core.log import Entry
from features.archive.layout import HOUR_MS, SLACK_MS, Piece, hour_of

# What an entry takes beside its key and value, in bytes.
_ENTRY_BYTES = 256

PartitionOf = tuple[str, int]


class ArchiveConfig(BaseModel):
    """Bounds of what waits in memory for its hour to end."""

    model_config = ConfigDict(frozen=True)

    most_bytes: int = Field(128 << 20, gt=0, description="messages in memory, all partitions together, bytes")
    most_object_bytes: int = Field(64 << 20, gt=0, description="messages of one object before compression, bytes")
    most_object_rows: int = Field(500_000, gt=0, description="messages of one object")
    quiet_ms: int = Field(10_000, ge=0, description="an hour that is over is written once nothing came for so long")
    poll_limit: int = Field(5_000, gt=0, description="messages read at once")
    poll_wait_ms: int = Field(500, ge=0, description="how long a read waits for the first message")
    retry_ms: int = Field(1_000, ge=0, description="wait after the first failed write; doubles up to a minute")


@dataclass(slots=True)
class Gathered:
    """Consecutive messages of one partition and hour."""

    hour_ms: int
    opened_ms: int
    touched_ms: int
    entries: list[Entry] = field(default_factory=list)
    size: int = 0

    @property
    def piece(self) -> Piece:
        """The object that they become."""
        first, last = self.entries[0], self.entries[-1]
        return Piece(first.topic, first.partition, first.offset, last.offset, self.hour_ms)

    def takes(self, entry: Entry, config: ArchiveConfig) -> bool:
        """Whether the message belongs into this object."""
        full = self.size >= config.most_object_bytes or len(self.entries) >= config.most_object_rows
        in_hour = self.hour_ms - SLACK_MS <= entry.time_ms < self.hour_ms + HOUR_MS
        return not full and in_hour and entry.offset == self.entries[-1].offset + 1


class Pieces:
    """Every partition's closed pieces, oldest first, and its open one."""

    def __init__(self, config: ArchiveConfig) -> None:
        self._config = config
        self._closed: dict[PartitionOf, deque[Gathered]] = {}
        self._open: dict[PartitionOf, Gathered] = {}
        self._last: dict[PartitionOf, int] = {}
        self.held_bytes = 0

    def add(self, entries: Iterable[Entry], now_ms: int) -> None:
        """Gather messages; one that was gathered before is passed over."""
        for entry in entries:
            place = (entry.topic, entry.partition)
            if entry.offset <= self._last.get(place, 0):
                continue
            gathered = self._open.get(place)
            if gathered is None or not gathered.takes(entry, self._config):
                self._close(place)
                gathered = self._open[place] = Gathered(hour_of(entry.time_ms), now_ms, now_ms)
            size = len(entry.value) + len(entry.key) + _ENTRY_BYTES
            gathered.entries.append(entry)
            gathered.touched_ms = now_ms
            gathered.size += size
            self.held_bytes += size
            self._last[place] = entry.offset

    def close_due(self, now_ms: int, *, everything: bool = False, of: Sequence[PartitionOf] | None = None) -> None:
        """Close the pieces whose hour is over, and the largest while memory is short; or all (`of` some partitions)."""
        for place, gathered in list(self._open.items()):
            if (everything and (of is None or place in of)) or self._due(gathered, now_ms):
                self._close(place)
        if self.held_bytes > self._config.most_bytes:
            by_size = sorted(self._open.items(), key=lambda item: -item[1].size)
            excess = self.held_bytes - self._config.most_bytes // 2
            for place, gathered in by_size:
                if excess <= 0:
                    return
                excess -= gathered.size
                self._close(place)

    def _due(self, gathered: Gathered, now_ms: int) -> bool:
        over = now_ms >= gathered.hour_ms + HOUR_MS + SLACK_MS
        quiet = now_ms - gathered.touched_ms >= self._config.quiet_ms
        # Whatever the log's clock says, nothing waits longer than this.
        return (over and quiet) or now_ms - gathered.opened_ms >= HOUR_MS + SLACK_MS

    def _close(self, place: PartitionOf) -> None:
        gathered = self._open.pop(place, None)
        if gathered is not None:
            self._closed.setdefault(place, deque()).append(gathered)

    def closed(self) -> Iterator[tuple[PartitionOf, Gathered]]:
        """Closed pieces, each partition's in order; `done` with one before the next is asked for."""
        for place in sorted(self._closed):
            while self._closed.get(place):
                yield place, self._closed[place][0]

    def done(self, place: PartitionOf) -> None:
        """The partition's first closed piece is written."""
        self.held_bytes -= self._closed[place].popleft().size

    def drop(self, places: Iterable[PartitionOf]) -> None:
        """Forget what another consumer will read again."""
        for place in places:
            for gathered in (*self._closed.pop(place, ()), *filter(None, [self._open.pop(place, None)])):
                self.held_bytes -= gathered.size
            self._last.pop(place, None)

    def oldest(self) -> dict[PartitionOf, Entry]:
        """The oldest message of each partition that is not written yet."""
        found = {place: gathered.entries[0] for place, gathered in self._open.items()}
        return found | {place: waiting[0].entries[0] for place, waiting in self._closed.items() if waiting}
