"""The state of one partition as a stage holds it: the file, its hot rows, its online rows and its snapshots."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Int64
from core.errors import ConfigError, ForyouError, Unavailable
from core.log import Bounds
from core.ports import Advance, FeatureStore, PartitionState, PartitionStates
from features.layout import VIEWER_DTYPE
from features.packed import bytes_of, stamp
from features.stream.hot_rows import HotRows, SharedMemory
from features.stream.lane import unhurried
from features.stream.online_rows import OnlineRows, Split, StoredRow
from features.stream.packing import squeezed
from features.stream.snapshots import Snapshots

_log = logging.getLogger(__name__)


class KeptConfig(BaseModel):
    """How a partition's state is kept."""

    model_config = ConfigDict(frozen=True)

    hot_bytes: int = Field(512 << 20, ge=1, description="most memory for the rows in use of all partitions, bytes")
    snapshot_every_s: float = Field(600, gt=0, description="time between two snapshots of a partition, seconds")
    snapshot_at_close: bool = Field(True, description="whether a partition that leaves is snapshotted")
    keep_ids_ms: int = Field(8 * 86_400_000, ge=1, description="how long event ids are remembered, milliseconds")
    replaced_s: float = Field(10.0, ge=0, description="how long a writer of rows yields to a later one, seconds")
    publish_every_s: float = Field(5.0, ge=0, description="least time between two publications of a row, seconds")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a process keeps partitions' state, and where their rows are served; `snapshots` None: none are made.

    The roles that are given the same places share one bound of memory.
    """

    states: PartitionStates
    features: FeatureStore
    snapshots: Snapshots | None = None
    memory: SharedMemory = field(default_factory=SharedMemory)


class KeptState:
    """Opens one partition's state, and changes file, memory and online store together."""

    def __init__(
        self, places: Places, name: str, mark: str, split: Split, dtype: np.dtype[np.void], config: KeptConfig
    ) -> None:
        self._places, self.name, self._mark, self._split = places, name, mark, split
        self._dtype, self._config = dtype, config
        self._squeezes = dtype == VIEWER_DTYPE  # mostly zeros; of a counter's row little is
        self.state: PartitionState | None = None
        self._snapshot: asyncio.Task[None] | None = None

    async def open(self, held: Bounds) -> tuple[int, dict[int, int]]:
        """Take the newest of the local file and the snapshots; its offset and watermarks.

        `held` is what the topic's partition holds. Raises ConfigError where the state is of another log.
        """
        if self._places.snapshots is not None:
            await self._places.snapshots.restore(self.name)
        state = self._places.states.open(self.name)
        try:
            self.offset, watermarks = state.position()
            self._check_log(held.last)
        except BaseException:
            state.close()
            raise
        self.state, self._saved = state, self.offset
        self.hot = HotRows(state, self._dtype, most_bytes=1)
        self._places.memory.enter(self.hot, self._config.hot_bytes)
        self.online = OnlineRows(
            self._places.features, state, self._mark, self._split, held.last, self._config.replaced_s
        )
        self._due_s = asyncio.get_running_loop().time() + self._config.snapshot_every_s
        if self.offset + 1 < held.first:
            _log.warning(
                "The state %s ends at %d and its partition begins at %d: what lay between is in the archive alone, and"
                " `foryou features backfill` counts it.", self.name, self.offset, held.first,
            )  # fmt: skip
        return self.offset, watermarks

    def _check_log(self, end: int) -> None:
        if self.offset > end:
            raise ConfigError(
                f"The state {self.name} includes offset {self.offset} and its partition ends at {end}: it is of"
                " another log; move the folder of the workers' states away, and their snapshots (work/)."
            )

    @contextmanager
    def changing(self, ids: Sequence[str]) -> Iterator[tuple[Array, Int64]]:
        """Records and the places of rows among them, which are changed there until anything is awaited, and then
        committed; what fails on the way leaves them as they were."""
        try:
            yield self.hot.take(ids)
        except BaseException:
            self.hot.forget(ids)
            raise

    def pack(self, ids: Sequence[str], records: Array, places: Int64) -> list[StoredRow]:
        """Rows as they are stored: id, version, bytes; the records get their stamps. Viewers' rows are squeezed."""
        versions = records["version"][places].tolist()
        stamp(records, places)
        rows = squeezed(records, places) if self._squeezes else bytes_of(records, places)
        return list(zip(ids, versions, rows, strict=True))

    async def commit(
        self, rows: Sequence[StoredRow], offset: int,
        event_ids: Mapping[bytes, int] | None = None, watermarks: Mapping[int, int] | None = None,
    ) -> None:  # fmt: skip
        """One durable step of the file. Once begun it is finished, for the file must not be let go while a thread
        still writes it."""
        assert self.state is not None
        state, step = self.state, Advance(offset, rows, event_ids or {}, watermarks or {}, self._squeezes)

        async def finished() -> None:
            await asyncio.to_thread(state.commit, step)
            self.hot.settle()
            self.offset = offset

        await unhurried(finished())

    def note(self, watermarks: Mapping[int, int]) -> None:
        """Keep watermarks without any news."""
        assert self.state is not None
        self.state.commit(Advance(self.offset, watermarks=watermarks))

    async def tick(self) -> None:
        """Begin a snapshot when one is due; see that the online rows are still there. Raises Unavailable."""
        now_s = asyncio.get_running_loop().time()
        if self._places.snapshots is not None and now_s >= self._due_s:
            self._due_s = now_s + self._config.snapshot_every_s
            if self._snapshot is None or self._snapshot.done():
                self._snapshot = asyncio.create_task(self._save())
        await self.online.look()

    async def _save(self) -> None:
        assert self._places.snapshots is not None and self.state is not None
        if self.offset == self._saved:
            return
        try:
            self._saved = await self._places.snapshots.save(self.name, self.state)
        except ForyouError as error:
            _log.warning("No snapshot of %s now: %s", self.name, error.sentence)

    async def close(self) -> None:
        """Finish the mark, keep a last snapshot, let the file go."""
        if self.state is None:
            return
        try:
            if self._snapshot is not None:
                await self._snapshot
            await self.online.finish()
            if self._places.snapshots is not None and self._config.snapshot_at_close:
                await self._save()
        except Unavailable as error:
            _log.warning("%s leaves without its mark: %s", self.name, error.sentence)
        finally:
            self._places.memory.leave(self.hot)
            self.state.close()
            self.state = None
