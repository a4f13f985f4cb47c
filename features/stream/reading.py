"""A micro-batch of viewers' events as it was read: parsed in one pass, or, where that is not sure, event by event."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import numpy as np

from core.arrays import Array, Int64
from core.errors import SchemaMismatch
from core.events import VIEWER_EVENTS, decode
from core.log import Entry
from core.ports import Record
from core.video_table import VideoTable, Vocabulary
from features.columns import ON_AUTHOR, EventColumns, columns_of, labels_of
from features.layout import OP
from features.stream import hashing, parsing
from features.stream.soundness import all_sound

_ID_BYTES = 16


class ViewerEvents(Protocol):
    """Sound events of viewers, in the order of their partition; arrays [events] int64."""

    @property
    def offset(self) -> Int64:
        """Its place."""
        ...

    @property
    def stamp(self) -> Int64:
        """How far the catalogue was read when it was taken in, 0 where that is not said."""
        ...

    @property
    def time_ms(self) -> Int64:
        """When it happened."""
        ...

    @property
    def ingested_ms(self) -> Int64:
        """When it was taken in, 0 where that is not said."""
        ...

    def take(self, index: Array) -> "ViewerEvents":
        """Those of them."""
        ...

    def hashes(self) -> list[bytes]:
        """The 16 bytes that stand for each event's id and viewer."""
        ...

    def columns(self, table: VideoTable) -> tuple[EventColumns, list[str]]:
        """Ready for the kernels, and the viewers by row. Where a video was shown, and how probably, is left out."""
        ...


class DecodedEvents:
    """Events that were decoded one by one."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        self.offset, self.stamp, self.time_ms, self.ingested_ms = (
            np.array(values, np.int64)
            for values in (
                [record.offset for record in records],
                [record.event.catalogue_offset for record in records],
                [record.event.time_ms for record in records],
                [record.event.ingested_ms for record in records],
            )
        )

    def take(self, index: Array) -> "DecodedEvents":
        """Those of them."""
        return DecodedEvents([self._records[at] for at in index.tolist()])

    def hashes(self) -> list[bytes]:
        """The 16 bytes that stand for each event's id and viewer."""
        return [id_hash(record.event.viewer_id, record.event.event_id) for record in self._records]

    def columns(self, table: VideoTable) -> tuple[EventColumns, list[str]]:
        """Ready for the kernels, and the viewers by row."""
        viewers: dict[str, int] = {}
        return columns_of(self._records, table, viewers, Vocabulary()), list(viewers)


@dataclass(frozen=True, slots=True)
class ParsedEvents:
    """Events as `parsing.parse` gives them: numbers, and where in `raw` their strings are."""

    raw: bytes
    offset: Int64
    numbers: Int64
    spans: Int64

    @property
    def stamp(self) -> Int64:
        """How far the catalogue was read when it was taken in, 0 where that is not said."""
        return self.numbers[:, parsing.STAMP]

    @property
    def time_ms(self) -> Int64:
        """When it happened."""
        return self.numbers[:, parsing.TIME_MS]

    @property
    def ingested_ms(self) -> Int64:
        """When it was taken in, 0 where that is not said."""
        return self.numbers[:, parsing.INGESTED_MS]

    def take(self, index: Array) -> "ParsedEvents":
        """Those of them."""
        return ParsedEvents(self.raw, self.offset[index], self.numbers[index], self.spans[index])

    def hashes(self) -> list[bytes]:
        """The 16 bytes that stand for each event's id and viewer."""
        out = np.empty((len(self.offset), 2), np.uint64)
        raw, spans = np.frombuffer(self.raw, np.uint8), np.ascontiguousarray(self.spans.transpose(1, 0, 2))
        hashing.hashes(raw, spans[parsing.VIEWER_ID], spans[parsing.EVENT_ID], out)
        hashed = out.tobytes()
        return [hashed[at : at + _ID_BYTES] for at in range(0, len(hashed), _ID_BYTES)]

    def columns(self, table: VideoTable) -> tuple[EventColumns, list[str]]:
        """Ready for the kernels, and the viewers by row."""
        count, number = len(self.offset), self.numbers.T
        op = number[parsing.OPERATION].astype(np.uint8)
        viewer, viewers = self._words(parsing.VIEWER_ID)
        video, author = self._places(table, op)
        play_ms, length_ms = (
            np.ascontiguousarray(number[parsing.PLAY_MS]),
            np.ascontiguousarray(number[parsing.LENGTH_MS]),
        )
        long_view, click = self._labels(op == OP["watch"], play_ms, length_ms)
        columns = EventColumns(
            offset=self.offset, time_ms=self.time_ms.copy(), op=op, viewer=viewer, video=video,
            author=author, play_ms=play_ms, length_ms=length_ms, long_view=long_view, click=click,
            position=number[parsing.POSITION].astype(np.int32), surface=np.zeros(count, np.int32),
            propensity=np.ones(count, np.float32), region=self._regions(table),
            catalogue_offset=self.stamp.copy(),
        )  # fmt: skip
        return columns, viewers

    def _words(self, column: int) -> tuple[Array, list[str]]:
        """The code of each event's string in a column, and the distinct strings in the order of first sight."""
        spans, count = np.ascontiguousarray(self.spans[:, column]), len(self.offset)
        codes, firsts = np.empty(count, np.int32), np.empty(count, np.int64)
        used = parsing.number_words(np.frombuffer(self.raw, np.uint8), spans, codes, firsts)
        raw = self.raw
        return codes, [raw[start:stop].decode() for start, stop in spans[firsts[:used]].tolist()]

    def _places(self, table: VideoTable, op: Array) -> tuple[Array, Array]:
        """Each event's video as a row, -1 where it is unknown, and its author as a code."""
        codes, names = self._words(parsing.VIDEO_ID)
        rows = table.rows(names)
        rows[[name == "" for name in names]] = -1
        video = rows[codes]
        author = np.zeros(len(video), np.int32)
        author[video >= 0] = table.author[video[video >= 0]]
        on_author = np.flatnonzero(np.isin(op, ON_AUTHOR))
        if len(on_author):
            codes, names = self.take(on_author)._words(parsing.AUTHOR_ID)
            author[on_author] = table.authors.codes(names)[codes]
        return video, author

    def _regions(self, table: VideoTable) -> Array:
        """The viewer's region as each event says it, -1 where it says none; a stamped event says one, be it unknown."""
        codes, names = self._words(parsing.REGION)
        says = np.array([name != "" for name in names], np.bool_)[codes] | (self.stamp != 0)
        return np.where(says, table.regions.codes(names)[codes], np.int32(-1))

    def _labels(self, watched: Array, play_ms: Array, length_ms: Array) -> tuple[Array, Array]:
        """Whether each watch was a long view and a click: as its source says, else by its length."""
        said = self.numbers[:, parsing.LONG_VIEW], self.numbers[:, parsing.CLICK]
        derived = labels_of(play_ms, length_ms)
        return tuple(  # type: ignore[return-value]
            (watched & np.where(own >= 0, own > 0, label)).astype(np.uint8)
            for own, label in zip(said, derived, strict=True)
        )


def parsed(entries: Sequence[Entry]) -> ParsedEvents | None:
    """The viewers' events that all of these messages carry; None where one of them needs a closer look."""
    values = [entry.value for entry in entries]
    count, raw = len(values), b"".join(values)
    ends = np.cumsum(np.fromiter(map(len, values), np.int64, count))
    numbers, spans = np.zeros((count, parsing.NUMBERS), np.int64), np.zeros((count, parsing.STRINGS, 2), np.int64)
    foreign = np.zeros(count, np.bool_)
    if parsing.parse(np.frombuffer(raw, np.uint8), ends, numbers, spans, foreign, parsing.words()) < count:
        return None
    if foreign.any() and not _readable([values[at] for at in np.flatnonzero(foreign).tolist()]):
        return None
    offsets = np.fromiter([entry.offset for entry in entries], np.int64, count)
    return ParsedEvents(raw, offsets, numbers, spans)


def _readable(values: Sequence[bytes]) -> bool:
    """Whether these messages, which have letters beyond ASCII, are sound events."""
    try:
        events = [decode(value) for value in values]
    except SchemaMismatch:
        return False
    return set(map(type, events)) <= set(VIEWER_EVENTS) and all_sound(events)


def id_hash(viewer_id: str, event_id: str) -> bytes:
    """16 bytes that stand for a viewer's event id."""
    return blake2b(f"{viewer_id}\0{event_id}".encode(), digest_size=_ID_BYTES).digest()
