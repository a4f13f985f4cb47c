"""The role `trending` of a worker: user.interaction -> counts of each partition, published for the replicas."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict, Field

from core.clock import Clock
from core.errors import ConfigError, CorruptData, ForyouError, Unavailable
from core.events import MAX_ID_CHARS, VIEWER_EVENTS, decode
from core.log import Entry, MessageLog
from core.ports import Bytes, Record
from core.topics import USER_INTERACTION
from core.trends import HOUR_MS, TrendState
from features.stream.lane import PartitionWork, Reject, StageMetrics, unhurried
from features.stream.loop import StageConfig, StageLoop
from features.stream.snapshots import Snapshots
from features.stream.soundness import unsound
from feeds.trending.config import HOURS, LONGEST, TrendingConfig
from feeds.trending.counting import TrendCounting
from feeds.trending.counts import read_counts
from feeds.trending.published import publish

_log = logging.getLogger(__name__)
_VIEWER_EVENTS: Final = frozenset(VIEWER_EVENTS)
_SWEEP_SHARE: Final = 1 / 24


class TrendWorkConfig(BaseModel):
    """How often what is done; a day's counts move faster than a month's."""

    model_config = ConfigDict(frozen=True)

    day_every_s: float = Field(15.0, gt=0, description="time between publications of the last 24 hours, seconds")
    longer_every_s: float = Field(60.0, gt=0, description="the same for the other windows and the raw points, seconds")
    snapshot_every_s: float = Field(600.0, gt=0, description="time between two snapshots of a partition, seconds")


class TrendStates(Protocol):
    """The files of a host's partitions."""

    def open_trend(self, name: str) -> TrendState:
        """The counts, empty ones at first; Unavailable while another process has them."""
        ...


class TrendPlaces:
    """Where the role keeps its counts, and where it publishes them; `snapshots` None: none are made."""

    def __init__(self, states: TrendStates, cache: Bytes, snapshots: Snapshots | None, clock: Clock) -> None:
        self.states, self.cache, self.snapshots, self.clock = states, cache, snapshots, clock


class TrendWork:
    """Counts one partition of user.interaction."""

    def __init__(
        self, partition: int, log: MessageLog, places: TrendPlaces, metrics: StageMetrics, config: TrendWorkConfig
    ) -> None:
        self._partition, self._log, self._places, self._metrics = partition, log, places, metrics
        self._config, self._name = config, f"trending-{partition}"
        self._counting: TrendCounting | None = None
        self._due_s: dict[str, float] = {}
        self._swept = self._saved = 0

    async def open(self) -> int | None:
        """Load the newest state; the offset that it includes."""
        held = (await self._log.bounds(USER_INTERACTION))[self._partition]
        if self._places.snapshots is not None:
            await self._places.snapshots.restore(self._name)
        state = self._places.states.open_trend(self._name)
        offset = state.position()
        if offset > held.last:
            state.close()
            raise ConfigError(
                f"The state {self._name} includes offset {offset} and its partition ends at {held.last}: it is of"
                " another log; move the folder of the workers' states away, and their snapshots (work/)."
            )
        if offset + 1 < held.first:
            _log.warning("%s ends at %d and its partition begins at %d: the events between do not count for Trending.",
                         self._name, offset, held.first)  # fmt: skip
        self._counting = TrendCounting(state, TrendingConfig(), repeats=True)
        self._due_s = {"snapshot": asyncio.get_running_loop().time() + self._config.snapshot_every_s}
        return offset

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Counts and offset of these events, durably; a repeated event changes nothing."""
        assert self._counting is not None
        records = []
        for entry in entries:
            try:
                event = decode(entry.value)
                fault = unsound(event) if type(event) in _VIEWER_EVENTS else "It is no event of a viewer."
            except CorruptData as error:
                await reject(entry, error.sentence)
                continue
            if fault:
                await reject(entry, f"Event {event.event_id[:MAX_ID_CHARS]}: {fault}")
            else:
                records.append(Record(entry.offset, event, entry.partition))
        after = self._places.clock() // HOUR_MS - LONGEST
        await unhurried(asyncio.to_thread(self._counting.apply, records, {}, after, entries[-1].offset))
        if records and records[-1].event.ingested_ms:
            self._metrics.stale_ms = self._places.clock() - records[-1].event.ingested_ms

    async def tick(self) -> None:
        """Publications, forgetting and snapshots, each when it is due. Raises Unavailable."""
        assert self._counting is not None
        state, hour = self._counting.state, self._places.clock() // HOUR_MS
        if hour > self._swept:
            self._swept = hour
            await unhurried(asyncio.to_thread(state.forget, hour - LONGEST, _SWEEP_SHARE))
        if windows := self._due():
            counts = await unhurried(asyncio.to_thread(lambda: {w: read_counts(state, w, hour) for w in windows}))
            try:
                await publish(self._places.cache, self._partition, counts)
            except Unavailable:
                self._due_s = {"snapshot": self._due_s["snapshot"]}  # at once when it is back
                raise
        if self._is_due("snapshot", self._config.snapshot_every_s):
            await self._save()

    async def close(self) -> None:
        """Keep a last snapshot, let the file go."""
        if self._counting is not None:
            await self._save()
            self._counting.state.close()
            self._counting = None

    def _due(self) -> list[str]:
        """The windows to publish now."""
        windows = ["24h"] if self._is_due("24h", self._config.day_every_s) else []
        if self._is_due("longer", self._config.longer_every_s):
            windows += [window for window in HOURS if window != "24h"] + ["points"]
        return windows

    def _is_due(self, what: str, every_s: float) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._due_s.get(what, 0.0):
            return False
        self._due_s[what] = now_s + every_s
        return True

    async def _save(self) -> None:
        assert self._counting is not None
        snapshots, state = self._places.snapshots, self._counting.state
        try:
            if snapshots is not None and state.position() > self._saved:
                self._saved = await snapshots.save(self._name, state)
        except ForyouError as error:
            _log.warning("No snapshot of %s now: %s", self._name, error.sentence)


def trending(log: MessageLog, places: TrendPlaces, stage: StageConfig, config: TrendWorkConfig) -> StageLoop:
    """user.interaction -> counts of Trending."""
    metrics = StageMetrics()

    def work(partition: int) -> PartitionWork:
        return TrendWork(partition, log, places, metrics, config)

    return StageLoop(log, "trending", USER_INTERACTION, work, metrics, stage)
