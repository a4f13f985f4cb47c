"""The log as columns: events become operations with row numbers, ready for the kernels."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from core.arrays import Array
from core.events import AuthorEvent, Impression, VideoEvent, Watch
from core.ports import EventReader, Record
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


def _op_of(event_type: type) -> int:
    if event_type not in _OP_OF_TYPE:
        _OP_OF_TYPE[event_type] = OP.get(str(event_type.__struct_config__.tag), -1)  # type: ignore[attr-defined]
    return _OP_OF_TYPE[event_type]


def columns_of(
    records: Sequence[Record], table: VideoTable, viewers: dict[str, int], surfaces: Vocabulary
) -> EventColumns:
    """The viewer events among `records`; a viewer that `viewers` lacks gets the next row."""
    rows = [row for record in records if (row := _row(record, table, viewers, surfaces)) is not None]
    return _assemble(rows)


def _assemble(rows: list[tuple[float, ...]]) -> EventColumns:
    if not rows:
        return EventColumns(*(np.zeros(0, dtype) for dtype in _DTYPES.values()))
    return EventColumns(
        *(np.array(column, dtype) for column, dtype in zip(zip(*rows, strict=False), _DTYPES.values(), strict=True))
    )


def _row(record: Record, table: VideoTable, viewers: dict[str, int], surfaces: Vocabulary) -> tuple[float, ...] | None:
    event = record.event
    op = _op_of(type(event))
    if op < 0:
        return None
    viewer = viewers.setdefault(event.viewer_id, len(viewers))
    video_id = getattr(event, "video_id", "")
    video = table.row(video_id) if video_id else -1
    # A stamped event says the region, be it unknown; for any other one the viewer's profile does.
    says = event.viewer_region or event.catalogue_offset
    stamp = (table.regions.code(event.viewer_region) if says else -1, event.catalogue_offset)
    if isinstance(event, AuthorEvent):
        author = table.authors.code(event.author_id)
        return (record.offset, event.time_ms, op, viewer, video, author, 0, 0, 0, 0, 0, 0, 1.0, *stamp)
    assert isinstance(event, VideoEvent)
    author = int(table.author[video]) if video >= 0 else 0
    if isinstance(event, Watch):
        long_view, click = watch_labels(event)
        return (record.offset, event.time_ms, op, viewer, video, author,
                event.play_ms, event.length_ms, long_view, click, 0, 0, 1.0, *stamp)  # fmt: skip
    if isinstance(event, Impression):
        propensity = 1.0 if event.propensity is None else event.propensity
        surface = surfaces.add(event.surface)
        return (record.offset, event.time_ms, op, viewer, video, author,
                0, 0, 0, 0, event.position, surface, propensity, *stamp)  # fmt: skip
    return (record.offset, event.time_ms, op, viewer, video, author, 0, 0, 0, 0, 0, 0, 1.0, *stamp)


def watch_labels(event: Watch) -> tuple[bool, bool]:
    """(long view, click) of a watch: the source's own, else ratio >= 0.95 or 18 s, and 3 s or the end."""
    complete = event.play_ms >= 0.95 * event.length_ms
    long_view = event.long_view if event.long_view is not None else complete or event.play_ms >= LONG_VIEW_MS
    click = event.click if event.click is not None else complete or event.play_ms >= SKIP_MS
    return long_view, click


async def read_columns(
    log: EventReader, table: VideoTable, surfaces: Vocabulary, until: int = 0
) -> tuple[EventColumns, dict[str, int]]:
    """All viewer events of the log up to the offset `until` (0: its end), and the row of each viewer."""
    viewers: dict[str, int] = {}
    parts, after = [], 0
    until = until or await log.end()
    while after < until:
        records = await log.read(after, min(_READ_SIZE, until - after))
        if not records:
            break
        after = records[-1].offset
        parts.append(columns_of(records, table, viewers, surfaces))
    if not parts:
        return _assemble([]), viewers
    return EventColumns(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(EventColumns))), viewers
