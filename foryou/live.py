"""What keeps a product's memory up to date: the stream processor in this process, or on a cluster what others did."""

from collections.abc import Sequence
from typing import Protocol

from core.ports import EventLog, Record
from features.processor import Processor
from features.state import FeatureState


class Live(Protocol):
    """The feature state of this process, and how it follows the log."""

    @property
    def state(self) -> FeatureState:
        """Catalogue and counters in memory."""
        ...

    @property
    def applied(self) -> int:
        """The offset that the state includes: of the log, or on a cluster of the catalogue."""
        ...

    @property
    def fault(self) -> str:
        """Why this process must not be asked, in a sentence; "" while all is well."""
        ...

    async def refresh(self) -> None:
        """Before a page: take in what other processes have written."""
        ...

    async def apply(self, records: Sequence[Record]) -> None:
        """After an append: make the records count for the next page, where that is this process's work."""
        ...

    async def start(self) -> None:
        """Begin to follow in the background, in the loop that serves."""
        ...

    async def stop(self) -> None:
        """End that."""
        ...


class EmbeddedLive:
    """This process applies the log's events itself, one transaction at a time."""

    def __init__(self, log: EventLog, processor: Processor) -> None:
        self._log, self.processor = log, processor

    @property
    def state(self) -> FeatureState:
        """Catalogue and counters in memory."""
        return self.processor.state

    @property
    def applied(self) -> int:
        """The last offset of the log that was applied."""
        return self.processor.applied

    @property
    def fault(self) -> str:
        """Nothing runs in the background that could end."""
        return ""

    async def refresh(self) -> None:
        """Apply what other processes have put on the log."""
        if await self._log.end() > self.processor.applied:
            await self.processor.catch_up()

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply what was appended."""
        await self.processor.apply(records)

    async def start(self) -> None:
        """Nothing runs in the background; one event is counted that is not kept, for the first must not wait for a
        compiler."""
        self.processor.warm_up()

    async def stop(self) -> None:
        """Nothing runs in the background."""
