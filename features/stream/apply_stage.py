"""Stages without state of their own: each message is decoded and given to a store that takes it twice without harm."""

from collections.abc import Awaitable, Callable, Sequence

from core.clock import Clock, system_clock
from core.errors import CorruptData, InputError
from core.events import decode
from core.log import Entry
from core.ports import Record
from features.stream.lane import Reject, StageMetrics

Apply = Callable[[Sequence[Record]], Awaitable[None]]


class ApplyWork:
    """Gives one partition's events, in order, to an idempotent store such as HistoryStore.record or Tables.relate."""

    def __init__(self, apply: Apply, metrics: StageMetrics, clock: Clock = system_clock) -> None:
        self._apply, self._metrics, self._clock = apply, metrics, clock

    async def open(self) -> int | None:
        """The group's commit says where to begin."""
        return None

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Durable in the store when it returns; what cannot be read is rejected."""
        records = []
        for entry in entries:
            try:
                records.append(Record(entry.offset, decode(entry.value), entry.partition))
            except CorruptData as error:
                await reject(entry, error.sentence)
        if records:
            await self._given(records, {entry.offset: entry for entry in entries}, reject)
            if records[-1].event.ingested_ms:
                self._metrics.stale_ms = self._clock() - records[-1].event.ingested_ms

    async def _given(self, records: Sequence[Record], entries: dict[int, Entry], reject: Reject) -> None:
        """All at once; where the store refuses that, one by one, so that only what it cannot take is rejected."""
        try:
            await self._apply(records)
        except InputError as error:
            if len(records) == 1:
                await reject(entries[records[0].offset], error.sentence)
                return
            for record in records:
                await self._given([record], entries, reject)

    async def tick(self) -> None:
        """Nothing falls due."""

    async def close(self) -> None:
        """Nothing is held."""
