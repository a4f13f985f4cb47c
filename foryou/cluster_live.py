"""A replica of a cluster: it follows the catalogue and maps the counters of its host; the stream's workers count."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from core.errors import Unavailable
from core.log import MessageLog
from core.ports import Record
from features.state import FeatureState
from features.stream.applier import HostApplier
from features.stream.catalogue import CatalogueFollower
from features.stream.host_table import HostTables
from feeds.bundle import restore_words

_log = logging.getLogger(__name__)

Background = Callable[[], Awaitable[None]]


class ClusterLive:
    """The feature state of a replica. `background` runs beside it, in the loop that serves."""

    def __init__(self, state: FeatureState, catalogue: CatalogueFollower, background: Sequence[Background]) -> None:
        self._state, self._catalogue, self._background = state, catalogue, background
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def begin(
        cls,
        bundle: Path,
        catalogue: CatalogueFollower,
        log: MessageLog,
        folder: Path,
        background: Sequence[Background],
    ) -> "ClusterLive":
        """The state as the host has it, under a bundle's words; `folder` holds the host's counters."""
        await catalogue.load()
        try:
            await catalogue.advance()
        except Unavailable as error:
            _log.warning("Serving the catalogue as this host has it: %s", error.sentence)
        state = FeatureState(catalogue.table, counters=HostTables(folder).counters)
        restore_words(bundle, state)
        return cls(state, catalogue, [catalogue.follow, HostApplier(log, folder).run, *background])

    @property
    def state(self) -> FeatureState:
        """The catalogue, and the host's counters as they are now."""
        return self._state

    @property
    def applied(self) -> int:
        """How far the catalogue was read."""
        return self._catalogue.offset

    @property
    def fault(self) -> str:
        """A background task that ended, such as the catalogue's: removed videos would go on being shown."""
        if not any(task.done() and not task.cancelled() for task in self._tasks):
            return ""
        return "What follows the cluster beside this replica has ended; restart it, its log says why."

    async def refresh(self) -> None:
        """Map what the counters' files grew by; the rest comes by itself."""
        self._state.ensure()

    async def apply(self, records: Sequence[Record]) -> None:
        """Nothing: the workers apply."""

    async def start(self) -> None:
        """Follow the catalogue, let one replica of the host write its counters, ship what waits."""
        self._tasks = [asyncio.ensure_future(run()) for run in self._background]
        for task in self._tasks:
            task.add_done_callback(_tell_of)

    async def stop(self) -> None:
        """End that."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _tell_of(task: "asyncio.Task[None]") -> None:
    """A background task never ends by itself; one that did is a bug, and what it did stands still from now on."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("What runs beside the replica has ended", exc_info=error)
