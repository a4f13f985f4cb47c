"""The log as columns: events become operations with row numbers, ready for the kernels."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from core.arrays import Array
from core.events import AnyEvent, Impression, Watch
from core.ports import EventReader, Record
from core.room import MEMORY, Growing, Room
from core.video_table import VideoTable, Vocabulary
from features.layout import LONG_VIEW_MS, OP, SKIP_MS
from features.raw import Operations

_READ_SIZE = 20_000


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Viewer events in log order; first dimension: events. `viewer` and `video` are rows (-1: unknown video);
    `region` is the viewer's (-1: the event does not say)."""

    offset: Array
    time_ms: Array
    op: Array
    viewer: Array
    video: Array
    author: Array
    play_ms: Array
    length_ms: Array
    long_view: Array
    click: Array
    position: Array
    surface: Array
    propensity: Array
    region: Array
    catalogue_offset: Array

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, index: Array) -> "EventColumns":
        """The events that a mask keeps or an index names."""
        return EventColumns(*(getattr(self, item.name)[index] for item in fields(self)))

    def in_regions(self, records: Array) -> "EventColumns":
        """The same, with the region of each viewer's profile where an event does not say; records VIEWER_DTYPE."""
        return replace(self, region=np.where(self.region >= 0, self.region, records["profile"][self.viewer, 0]))

    def operations(self) -> Operations:
        """The columns that the kernels need."""
        return Operations(**{name: getattr(self, name) for name in Operations._fields})


_DTYPES = {
    "offset": np.int64,
    "time_ms": np.int64,
    "op": np.uint8,
    "viewer": np.int32,
    "video": np.int32,
    "author": np.int32,
    "play_ms": np.int64,
    "length_ms": np.int64,
    "long_view": np.uint8,
    "click": np.uint8,
    "position": np.int32,
    "surface": np.int32,
    "propensity": np.float32,
    "region": np.int32,
    "catalogue_offset": np.int64,
}
_OP_OF_TYPE: dict[type, int] = {}
_AUTHOR_KINDS = ("follow", "unfollow", "hide_author", "unhide_author", "block", "unblock")
ON_AUTHOR = np.array([OP[name] for name in _AUTHOR_KINDS], np.uint8)


def _op_of(event_type: type) -> int:
    if event_type not in _OP_OF_TYPE:
        _OP_OF_TYPE[event_type] = OP.get(str(event_type.__struct_config__.tag), -1)  # type: ignore[attr-defined]
    return _OP_OF_TYPE[event_type]


def columns_of(
    records: Sequence[Record], table: VideoTable, viewers: dict[str, int], surfaces: Vocabulary
) -> EventColumns:
    """The viewer events among `records`; a viewer that `viewers` lacks gets the next row."""
    ops = [_op_of(type(record.event)) for record in records]
    if ops and min(ops) < 0:
        records = [record for record, op in zip(records, ops, strict=True) if op >= 0]
        ops = [op for op in ops if op >= 0]
    events = [record.event for record in records]
    columns = {name: np.zeros(len(events), dtype) for name, dtype in _DTYPES.items()}
    columns["offset"][:] = [record.offset for record in records]
    columns["op"][:] = ops
    columns["time_ms"][:] = [event.time_ms for event in events]
    columns["viewer"][:] = [viewers.setdefault(event.viewer_id, len(viewers)) for event in events]
    columns["propensity"][:] = 1.0
    _place(columns, events, table)
    _watches(columns, events)
    _impressions(columns, events, surfaces)
    return EventColumns(**columns)


def _place(columns: dict[str, Array], events: Sequence[AnyEvent], table: VideoTable) -> None:
    """What an event is about, and under which catalogue and in which region it counts."""
    video_ids = [getattr(event, "video_id", "") for event in events]
    video = columns["video"]
    video[:] = table.rows(video_ids)
    video[[not video_id for video_id in video_ids]] = -1
    known = video >= 0
    columns["author"][known] = table.author[video[known]]
    for at in np.flatnonzero(np.isin(columns["op"], ON_AUTHOR)).tolist():
        columns["author"][at] = table.authors.code(events[at].author_id)  # type: ignore[union-attr]
    stamps = columns["catalogue_offset"]
    stamps[:] = [event.catalogue_offset for event in events]
    # A stamped event says the region, be it unknown; for any other one the viewer's profile does.
    regions = [event.viewer_region for event in events]
    says = np.array([region != "" for region in regions], np.bool_) | (stamps != 0)
    columns["region"][:] = np.where(says, table.regions.codes(regions), -1)


def _watches(columns: dict[str, Array], events: Sequence[AnyEvent]) -> None:
    """How long was watched, and the labels: `watch_labels` for all of them at once."""
    index = np.flatnonzero(columns["op"] == OP["watch"])
    watches: list[Watch] = [events[at] for at in index.tolist()]  # type: ignore[misc]
    play_ms = np.array([watch.play_ms for watch in watches], np.int64)
    length_ms = np.array([watch.length_ms for watch in watches], np.int64)
    columns["play_ms"][index], columns["length_ms"][index] = play_ms, length_ms
    columns["long_view"][index], columns["click"][index] = labels_of(play_ms, length_ms)
    for place, watch in zip(index.tolist(), watches, strict=True):
        if watch.long_view is not None or watch.click is not None:
            columns["long_view"][place], columns["click"][place] = watch_labels(watch)


def _impressions(columns: dict[str, Array], events: Sequence[AnyEvent], surfaces: Vocabulary) -> None:
    """Where and with what probability a video was shown."""
    index = np.flatnonzero(columns["op"] == OP["impression"])
    shown: list[Impression] = [events[at] for at in index.tolist()]  # type: ignore[misc]
    columns["position"][index] = [event.position for event in shown]
    columns["surface"][index] = [surfaces.add(event.surface) for event in shown]
    columns["propensity"][index] = [1.0 if event.propensity is None else event.propensity for event in shown]


def labels_of(play_ms: Array, length_ms: Array) -> tuple[Array, Array]:
    """(long view, click) of watches whose source says nothing of its own: ratio >= 0.95 or 18 s, and 3 s or the end."""
    complete = play_ms >= 0.95 * length_ms
    return complete | (play_ms >= LONG_VIEW_MS), complete | (play_ms >= SKIP_MS)


def watch_labels(event: Watch) -> tuple[bool, bool]:
    """(long view, click) of a watch: the source's own, else ratio >= 0.95 or 18 s, and 3 s or the end."""
    complete = event.play_ms >= 0.95 * event.length_ms
    long_view = event.long_view if event.long_view is not None else complete or event.play_ms >= LONG_VIEW_MS
    click = event.click if event.click is not None else complete or event.play_ms >= SKIP_MS
    return long_view, click


async def read_columns(
    log: EventReader, table: VideoTable, surfaces: Vocabulary, until: int = 0, room: Room = MEMORY
) -> tuple[EventColumns, dict[str, int]]:
    """All viewer events of the log up to the offset `until` (0: its end), in this room, and the row of each viewer."""
    viewers: dict[str, int] = {}
    columns, after = {name: Growing(room, dtype) for name, dtype in _DTYPES.items()}, 0
    until = until or await log.end()
    while after < until:
        records = await log.read(after, min(_READ_SIZE, until - after))
        if not records:
            break
        after = records[-1].offset
        part = columns_of(records, table, viewers, surfaces)
        for name, column in columns.items():
            column.add(getattr(part, name))
    return EventColumns(**{name: column.whole() for name, column in columns.items()}), viewers
