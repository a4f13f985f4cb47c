"""States and catalogue of a home: one log, counted again in the order of its offsets."""

from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from core.arrays import Array
from core.catalogue import ViewerRecord
from core.events import CATALOGUE_EVENTS, AnyEvent, VideoPublished, VideoRemoved, VideoUpdated
from core.ports import EventLog, Record
from core.video_table import VideoTable, Vocabulary
from features.columns import EventColumns, columns_of
from features.counting import trend_rows
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.skew.kernel import ENTITIES, count_and_keep
from features.skew.states import State, StateKey, States
from features.state import FeatureState, viewer_arrays

_READ: Final = 20_000


class LogCatalogue:
    """The catalogue as of any offset of the log, events in order."""

    def __init__(self, log: EventLog) -> None:
        self._log, self._table, self._done = log, VideoTable(), 0
        self._ahead: list[Record] = []

    async def until(self, offset: int) -> VideoTable:
        """The catalogue as of an offset, the same object every time; offsets must not fall."""
        while self._done < offset:
            if not self._ahead:
                self._ahead = await self._log.read(self._done, _READ)
                self._ahead.reverse()
            if not self._ahead:
                break
            while self._ahead and self._ahead[-1].offset <= offset:
                record = self._ahead.pop()
                catalogue(self._table, [record])
                self._done = record.offset
            if self._ahead:
                break
        return self._table


class LogStates:
    """Counts the log from its start and keeps copies on the way; users give the profile of a viewer's first event."""

    def __init__(self, log: EventLog, users: Sequence[ViewerRecord]) -> None:
        self._log, self._users = log, {user.user_id: user for user in users}

    async def states(self, keys: Collection[StateKey]) -> States:
        """The rows by key; one whose version the log does not lead to is absent."""
        replay = _Replay(self._users, keys)
        done, last = 0, max((key.version for key in keys), default=0)
        while done < last:
            records = await self._log.read(done, min(_READ, last - done))
            if not records:
                break
            done = records[-1].offset
            for is_catalogue, run in groupby(records, lambda r: isinstance(r.event, CATALOGUE_EVENTS)):
                if is_catalogue:
                    replay.learn(list(run))
                else:
                    replay.count(list(run))
        return replay.found


class _Replay:
    """Feature state that grows event by event."""

    def __init__(self, users: dict[str, ViewerRecord], keys: Collection[StateKey]) -> None:
        self._users, self._surfaces = users, Vocabulary()
        self._state = FeatureState(VideoTable())
        self._viewers: dict[str, int] = {}
        self._records: Array = np.zeros(1024, VIEWER_DTYPE)
        self._keys = sorted(keys, key=lambda key: key.version)
        self._versions = np.array([key.version for key in self._keys], np.int64)
        self.found: dict[StateKey, State] = {}

    def learn(self, records: Sequence[Record]) -> None:
        """Catalogue events."""
        catalogue(self._state.table, records)
        self._state.ensure()

    def count(self, records: Sequence[Record]) -> None:
        """Viewer events, and copies of the rows that are wanted as of one of them."""
        known = len(self._viewers)
        columns = columns_of(records, self._state.table, self._viewers, self._surfaces)
        if not len(columns):
            return
        self._meet(known)
        columns = columns.in_regions(self._records)
        take, keys = self._wanted(columns)
        kept = np.zeros((len(keys), COUNTS_DTYPE.itemsize), np.uint8)
        kept_viewers = np.zeros((len(keys), VIEWER_DTYPE.itemsize), np.uint8)
        s = self._state
        raw = tuple(_bytes(rows) for rows in (self._records, s.videos.records, s.authors.records, s.trends.records))
        count_and_keep(
            columns.operations(), viewer_arrays(self._records), s.video_columns(),
            s.videos.counts, s.authors.counts, s.trends.counts, take, raw, kept, kept_viewers,
        )  # fmt: skip
        for slot, (event, key) in enumerate(zip(take[:, 0].tolist(), keys, strict=True)):
            copy = kept_viewers[slot].view(VIEWER_DTYPE) if key.entity == "viewer" else kept[slot].view(COUNTS_DTYPE)
            copy["version"] = key.version
            self.found[key] = State(copy.tobytes(), int(columns.time_ms[event]))

    def _meet(self, known: int) -> None:
        """Records for the viewers that were seen for the first time, under the profile that they have."""
        if len(self._viewers) > len(self._records):
            grown = np.zeros(2 * len(self._viewers), VIEWER_DTYPE)
            grown[: len(self._records)] = self._records
            self._records = grown
        for viewer_id in list(self._viewers)[known:]:
            profile = self._users.get(viewer_id)
            if profile is not None:
                self._state.set_profile(self._records[self._viewers[viewer_id]][None], profile)

    def _wanted(self, columns: EventColumns) -> tuple[Array, list[StateKey]]:
        """(event, entity, row, slot) [copies, 4] int64 of what is wanted as of one of these events, and its keys."""
        first, last = np.searchsorted(self._versions, [columns.offset[0], columns.offset[-1] + 1])
        at = np.searchsorted(columns.offset, self._versions[first:last])
        trends = np.full(len(columns), -1, np.int64)
        trends[columns.video >= 0] = trend_rows(self._state.table, columns)
        touched = dict(zip(ENTITIES, (columns.viewer, columns.video, columns.author, trends), strict=True))
        take = list[tuple[int, int, int, int]]()
        keys = list[StateKey]()
        for key, event in zip(self._keys[first:last], at.tolist(), strict=True):
            row = self._row(key)
            if columns.offset[event] == key.version and touched[key.entity][event] == row >= 0:
                take.append((event, ENTITIES.index(key.entity), row, len(keys)))
                keys.append(key)
        return np.array(take, np.int64).reshape(-1, 4), keys

    def _row(self, key: StateKey) -> int:
        table = self._state.table
        if key.entity == "viewer":
            return self._viewers.get(key.id, -1)
        if key.entity == "video":
            return table.row(key.id)
        return table.authors.code(key.id) or -1 if key.entity == "author" else int(key.id)


def _bytes(records: Array) -> Array:
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)


def catalogue(table: VideoTable, records: Sequence[Record]) -> None:
    """Put what catalogue events say into the table; others are passed over."""
    for record in records:
        learn(table, record.event)


def learn(table: VideoTable, event: AnyEvent) -> None:
    """Put what one catalogue event says into the table; any other is passed over."""
    if isinstance(event, VideoPublished):
        table.publish(event)
    elif isinstance(event, VideoUpdated):
        table.update(event)
    elif isinstance(event, VideoRemoved):
        table.remove(event)
