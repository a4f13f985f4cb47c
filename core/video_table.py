"""The columnar mirror of the catalogue: a video is a row number, and rows never move."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from core.arrays import Array, Bool, Float32, Int32
from core.events import VideoPublished, VideoRemoved, VideoUpdated

PUBLIC: Final = 0
FRIENDS: Final = 1
PRIVATE: Final = 2
REMOVED: Final = 3
BLOCKED: Final = 4  # as a viewer sees it: public, and not in their region
EVERYWHERE: Final = "*"
VISIBILITY: Final = {"public": PUBLIC, "friends": FRIENDS, "private": PRIVATE, "removed": REMOVED}

_COLUMNS: Final = {
    "author": np.int32,
    "topic": np.int32,
    "language": np.int32,
    "region": np.int32,
    "cluster": np.int32,
    "length_ms": np.int32,
    "upload_ms": np.int64,
    "visibility": np.uint8,
    "blocked": np.bool_,
}


class Vocabulary:
    """Strings as dense codes in order of first sight; code 0 is the empty string (unknown)."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words: list[str] = [""]
        self._codes: dict[str, int] = {"": 0}
        for word in words:
            self.add(word)

    def __len__(self) -> int:
        return len(self.words)

    def add(self, word: str) -> int:
        """The word's code; a new word gets the next one."""
        code = self._codes.setdefault(word, len(self.words))
        if code == len(self.words):
            self.words.append(word)
        return code

    def code(self, word: str) -> int:
        """The word's code, 0 when unknown."""
        return self._codes.get(word, 0)

    def codes(self, words: Sequence[str]) -> Int32:
        """The codes of many words, 0 for each unknown one. [words] int32"""
        get = self._codes.get
        return np.fromiter((get(word, 0) for word in words), np.int32, len(words))


class VideoTable:
    """Columns of all videos, by row: author, topic, language, region, cluster (codes), length_ms, upload_ms,
    visibility, whether it is blocked in some region, and the content embedding [rows, dim] float32 (zeros where a video
    has none)."""

    author: Int32
    topic: Int32
    language: Int32
    region: Int32
    cluster: Int32
    length_ms: Int32
    upload_ms: Array
    visibility: Array
    blocked: Bool

    def __init__(self, capacity: int = 1024) -> None:
        self.video_ids: list[str] = []
        self.moved = 0  # times that a video was published anew under another author or time
        self._row_of: dict[str, int] = {}
        self._changes: dict[int, int] = {}
        self._blocked: dict[int, frozenset[str]] = {}  # by row, of the few that are
        self.authors = Vocabulary()
        self.topics = Vocabulary()
        self.languages = Vocabulary()
        self.regions = Vocabulary()
        self.clusters = Vocabulary()
        self._embedding: Float32 = np.zeros((0, 0), np.float32)
        self._store: dict[str, Array] = {name: np.zeros(capacity, dtype) for name, dtype in _COLUMNS.items()}
        self._expose()

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def embedding(self) -> Float32:
        """Content embeddings, zeros where there is none. [rows, dim] float32"""
        return self._embedding[: len(self)]

    @property
    def embedding_dim(self) -> int:
        """Width of the content embedding; 0 when the catalogue has none."""
        return int(self._embedding.shape[1])

    def row(self, video_id: str) -> int:
        """The video's row, -1 when unknown."""
        return self._row_of.get(video_id, -1)

    def rows(self, video_ids: Sequence[str]) -> Int32:
        """Rows of many ids, -1 for each unknown one. [ids] int32"""
        get = self._row_of.get
        return np.array([get(video_id, -1) for video_id in video_ids], np.int32)

    def as_it_is(self) -> "VideoTable":
        """The rows that there are now, for a thread that reads while this table grows; they share their memory."""
        now = VideoTable(0)
        now.__dict__.update(self.__dict__)
        now.video_ids = self.video_ids[:]
        now._store = {name: column[: len(now)] for name, column in self._store.items()}
        now._expose()
        return now

    def publish(self, event: VideoPublished) -> int:
        """Add the video, or overwrite the one with this id; its row."""
        row = self._row_of.setdefault(event.video_id, len(self.video_ids))
        known = row < len(self.video_ids)
        self._changed(row)
        removed = known and self._store["visibility"][row] == REMOVED
        if not known:
            self.video_ids.append(event.video_id)
            self._grow()
        store = self._store
        placed = self.authors.add(event.author_id), event.upload_ms
        self.moved += known and placed != (store["author"][row], store["upload_ms"][row])
        store["author"][row] = placed[0]
        store["topic"][row] = self.topics.add(event.topic)
        store["language"][row] = self.languages.add(event.language)
        store["region"][row] = self.regions.add(event.region)
        store["cluster"][row] = self.clusters.add(event.thumbnail_cluster)
        store["length_ms"][row] = min(event.length_ms, 2**31 - 1)
        store["upload_ms"][row] = event.upload_ms
        store["visibility"][row] = REMOVED if removed else VISIBILITY.get(event.visibility, PRIVATE)
        self._embed(row, event.content_embedding)
        if event.blocked_regions:  # to publish it again lifts nothing
            self.block(row, event.blocked_regions)
        return row

    def block(self, row: int, regions: Iterable[str]) -> None:
        """Show the video in none of these regions ("*": nowhere) and in all others."""
        blocked = frozenset(regions)
        self._store["blocked"][row] = bool(blocked)
        self._blocked.pop(row, None)
        if blocked:
            self._blocked[row] = blocked

    def visibility_in(self, rows: Int32, region: str) -> Array:
        """The visibility of each row to someone in the region, BLOCKED where it is not to be shown there; a region that
        is not known ("") is taken for any that is blocked. [rows] uint8"""
        seen: Array = self.visibility[rows]
        if self._blocked:
            for at in np.flatnonzero(self.blocked[rows]):
                blocked = self._blocked[int(rows[at])]
                if seen[at] == PUBLIC and (not region or region in blocked or EVERYWHERE in blocked):
                    seen[at] = BLOCKED
        return seen

    @property
    def blocks(self) -> bool:
        """Whether any video is blocked in some region."""
        return bool(self._blocked)

    def extend(
        self,
        video_ids: Sequence[str],
        words: Mapping[str, Sequence[str]],
        length_ms: Array,
        upload_ms: Array,
        visibility: Sequence[str],
        embedding: Float32,
    ) -> None:
        """Add many new videos at once, each as `publish` would; `words` by column: author, topic, language, region,
        cluster; `embedding` [videos, dim or 0]."""
        start = len(self)
        self.video_ids.extend(video_ids)
        self._row_of.update(zip(video_ids, range(start, len(self)), strict=True))
        self._grow()
        store, added = self._store, slice(start, len(self))
        for name, vocabulary in self._vocabularies().items():
            for word in dict.fromkeys(words[name]):
                vocabulary.add(word)
            store[name][added] = vocabulary.codes(words[name])
        store["length_ms"][added] = np.minimum(length_ms, 2**31 - 1)
        store["upload_ms"][added] = upload_ms
        store["visibility"][added] = [VISIBILITY.get(word, PRIVATE) for word in visibility]
        if embedding.shape[1]:
            if self.embedding_dim == 0:
                self._embedding = np.zeros((self._capacity, embedding.shape[1]), np.float32)
            width = min(self.embedding_dim, embedding.shape[1])
            self._embedding[added, :width] = embedding[:, :width]

    def _vocabularies(self) -> dict[str, Vocabulary]:
        return {
            "author": self.authors,
            "topic": self.topics,
            "language": self.languages,
            "region": self.regions,
            "cluster": self.clusters,
        }

    def update(self, event: VideoUpdated) -> int:
        """Change the fields that the event names; the row, -1 when the video is unknown."""
        row = self.row(event.video_id)
        if row < 0:
            return row
        self._changed(row)
        if event.topic is not None:
            self._store["topic"][row] = self.topics.add(event.topic)
        if event.visibility is not None and self._store["visibility"][row] != REMOVED:
            self._store["visibility"][row] = VISIBILITY.get(event.visibility, PRIVATE)
        if event.content_embedding is not None:
            self._embed(row, event.content_embedding)
        if event.blocked_regions is not None:
            self.block(row, event.blocked_regions)
        return row

    def remove(self, event: VideoRemoved) -> int:
        """Mark the video as removed for ever; the row, -1 when unknown."""
        row = self.row(event.video_id)
        if row >= 0:
            self._changed(row)
            self._store["visibility"][row] = REMOVED
        return row

    def changes(self, row: int) -> int:
        """How often this process has seen the video change: what was read at another number of changes is old."""
        return self._changes.get(row, 0)

    def _changed(self, row: int) -> None:
        self._changes[row] = self._changes.get(row, 0) + 1

    def _embed(self, row: int, vector: Sequence[float]) -> None:
        if not vector:
            return
        if self.embedding_dim == 0:
            self._embedding = np.zeros((self._capacity, len(vector)), np.float32)
        width = min(self.embedding_dim, len(vector))
        self._embedding[row, :width] = vector[:width]
        self._embedding[row, width:] = 0

    @property
    def _capacity(self) -> int:
        return int(self._store["author"].shape[0])

    def _grow(self) -> None:
        if len(self) > self._capacity:
            size = max(2 * self._capacity, len(self), 1024)
            self._store = {name: np.resize(column, size) for name, column in self._store.items()}
            if self.embedding_dim:
                wider = np.zeros((size, self.embedding_dim), np.float32)
                wider[: self._embedding.shape[0]] = self._embedding
                self._embedding = wider
        self._expose()

    def _expose(self) -> None:
        for name, column in self._store.items():
            setattr(self, name, column[: len(self.video_ids)])
