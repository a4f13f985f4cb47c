"""What the catalogue said at earlier offsets: which rows and codes it had, and the traits of videos since updated."""

from bisect import bisect_right
from dataclasses import replace
from typing import Final

import msgspec
import numpy as np

from core.arrays import Array, Int64
from core.events import AnyEvent, VideoPublished, VideoRemoved, VideoUpdated
from core.video_table import VideoTable, Vocabulary
from features.columns import ON_AUTHOR, EventColumns
from features.raw import Videos
from features.stream.viewers import Traits, video_columns


class VideoTraits(msgspec.Struct, frozen=True, array_like=True):
    """What of a video its counters depend on, as codes; `embedding` is float32 bytes."""

    author: int
    topic: int
    cluster: int
    language: int
    length_ms: int
    embedding: bytes

    @classmethod
    def at(cls, table: VideoTable, row: int) -> "VideoTraits":
        """The traits that a video has now."""
        author, topic, cluster, language, length_ms = (
            int(column[row]) for column in (table.author, table.topic, table.cluster, table.language, table.length_ms)
        )
        return cls(author, topic, cluster, language, length_ms, table.embedding[row].tobytes())


class Step(msgspec.Struct, frozen=True, array_like=True):
    """What one catalogue entry changed, as the journal keeps it.

    `words` are new words by vocabulary; `row` is the video's row, `new` whether it got it here, `before` its traits
    until then where they changed.
    """

    offset: int
    time_ms: int
    words: dict[str, list[str]]
    row: int = -1
    new: bool = False
    before: VideoTraits | None = None


VOCABULARIES: Final = ("authors", "topics", "languages", "regions", "clusters")


def apply_entry(table: VideoTable, offset: int, time_ms: int, event: AnyEvent) -> Step | None:
    """Put a catalogue event into the table; what it changed, None for any other event."""
    if not isinstance(event, VideoPublished | VideoUpdated | VideoRemoved):
        return None
    known = table.row(event.video_id)
    before = VideoTraits.at(table, known) if known >= 0 and not isinstance(event, VideoRemoved) else None
    sizes = {name: len(getattr(table, name)) for name in VOCABULARIES}
    if isinstance(event, VideoPublished):
        row = table.publish(event)
    else:
        row = table.update(event) if isinstance(event, VideoUpdated) else table.remove(event)
    changed = before is not None and VideoTraits.at(table, row) != before
    words = {
        name: getattr(table, name).words[size:] for name, size in sizes.items() if len(getattr(table, name)) > size
    }
    return Step(offset, time_ms, words, row, row >= 0 > known, before if changed else None)


class _Grown:
    """How many there were from which offset on: two growing columns."""

    def __init__(self, first: int) -> None:
        self.count, self._first = first, first
        self._at: Int64 = np.zeros(1024, np.int64)

    def add(self, offset: int, count: int) -> None:
        """`count` more from this offset on."""
        used = self.count - self._first
        if used + count > len(self._at):
            self._at = np.concatenate([self._at, np.zeros(max(len(self._at), count), np.int64)])
        self._at[used : used + count] = offset
        self.count += count

    def known(self, offsets: Int64) -> Int64:
        """How many there were at each offset. [offsets] int64"""
        return np.searchsorted(self._at[: self.count - self._first], offsets, "right") + self._first


class Past:
    """The catalogue's earlier states beside its present `table`.

    Traits that ended before `forget` is called with a later offset are dropped, so that memory does not grow for ever.
    """

    def __init__(self, table: VideoTable) -> None:
        self.table = table
        self._rows, self._authors, self._regions = _Grown(0), _Grown(1), _Grown(1)
        self._changed: Int64 = np.zeros(1024, np.int64)
        # By row: until which offset, and what the traits were up to then, oldest first.
        self._before: dict[int, list[tuple[int, VideoTraits]]] = {}

    def record(self, step: Step) -> None:
        """Remember what an entry changed."""
        self._authors.add(step.offset, len(step.words.get("authors", ())))
        self._regions.add(step.offset, len(step.words.get("regions", ())))
        if step.new:
            self._rows.add(step.offset, 1)
        if step.before is not None:
            if step.row >= len(self._changed):
                grown = np.zeros(max(2 * len(self._changed), step.row + 1), np.int64)
                grown[: len(self._changed)] = self._changed
                self._changed = grown
            self._changed[step.row] = step.offset
            self._before.setdefault(step.row, []).append((step.offset, step.before))

    def forget(self, offset: int) -> None:
        """Drop traits that ended at or before this offset."""
        for row in list(self._before):
            kept = [(until, traits) for until, traits in self._before[row] if until > offset]
            if kept:
                self._before[row] = kept
            else:
                del self._before[row]
                self._changed[row] = 0

    def as_of(self, columns: EventColumns) -> tuple[EventColumns, Traits]:
        """The events with the rows, codes and traits of their own `catalogue_offset` (0: the present ones)."""
        at = np.where(columns.catalogue_offset > 0, columns.catalogue_offset, np.iinfo(np.int64).max)
        video = np.where(columns.video < self._rows.known(at), columns.video, -1)
        names_author = np.isin(columns.op, ON_AUTHOR)
        author = np.where(columns.author < self._authors.known(at), columns.author, 0)
        author = np.where(~names_author & (video < 0), 0, author).astype(np.int32)
        region = np.where(columns.region < self._regions.known(at), columns.region, 0).astype(np.int32)
        videos, row, old = self._traits(video, at)
        if len(old):
            author[old] = np.where(names_author[old], author[old], videos.author[row[old]])
        return replace(columns, video=video.astype(np.int32), author=author, region=region), Traits(videos, row)

    def _traits(self, video: Array, at: Int64) -> tuple[Videos, Array, Array]:
        """Columns of traits, each event's row in them, and the events whose traits are not the present ones."""
        present = video_columns(self.table)
        suspect = np.flatnonzero((video >= 0) & (video < len(self._changed)))
        suspect = suspect[self._changed[video[suspect]] > at[suspect]]
        if not len(suspect):
            return present, video, suspect
        old = [self._until(int(video[i]), int(at[i])) for i in suspect.tolist()]
        used = np.unique(video[video >= 0])
        columns = [column[used] for column in present]
        width = present.embedding.shape[1]
        added = [list(part) for part in zip(*(_cells(traits, width) for traits in old), strict=True)]
        videos = Videos(*(np.concatenate([c, np.asarray(a, c.dtype)]) for c, a in zip(columns, added, strict=True)))
        row = np.where(video >= 0, np.searchsorted(used, video), -1)
        row[suspect] = len(used) + np.arange(len(suspect))
        return videos, row, suspect

    def _until(self, row: int, at: int) -> VideoTraits:
        """The traits that a row had at an offset before its last change."""
        ends = [until for until, _ in self._before[row]]
        return self._before[row][bisect_right(ends, at)][1]


def _cells(traits: VideoTraits, width: int) -> tuple[object, ...]:
    """Traits in the order of `Videos`."""
    embedding = np.zeros(width, np.float32)
    found = np.frombuffer(traits.embedding, np.float32)
    embedding[: len(found)] = found
    return traits.author, traits.topic, traits.cluster, traits.language, traits.length_ms, embedding


def recode(table: VideoTable, words: dict[str, list[str]]) -> None:
    """Give a loaded table the codes of the catalogue's own order; `words` by vocabulary, without the empty one."""
    for name, column in zip(VOCABULARIES, ("author", "topic", "language", "region", "cluster"), strict=True):
        loaded, ordered = getattr(table, name), Vocabulary(words.get(name, ()))
        codes = getattr(table, column)
        codes[:] = ordered.codes(loaded.words)[codes]
        setattr(table, name, ordered)
