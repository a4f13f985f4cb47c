"""VideoStore on SQLite: video records, their rows for ever, and the catalogue as columns in one scan."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from backends.sqlite.database import Database, Row
from core.arrays import Float32
from core.catalogue import VideoRecord
from core.events import VideoPublished, VideoRemoved, VideoUpdated, decode, encode
from core.ports import Record
from core.video_table import VideoTable

# `record` is the event without its embedding. The columns repeat what the VideoTable needs, so that loading a
# catalogue decodes no record. `applied` is the offset of the last change: a record is never applied twice.
# `catalogue_words` has every word in the order of first sight, also those that no video has any more: counters are kept
# under their codes, which must be the same after a restart.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS videos (
  row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, visibility TEXT NOT NULL, author TEXT NOT NULL,
  topic TEXT NOT NULL, language TEXT NOT NULL, region TEXT NOT NULL, cluster TEXT NOT NULL,
  length_ms INTEGER NOT NULL, upload_ms INTEGER NOT NULL, embedding BLOB NOT NULL, record BLOB NOT NULL,
  applied INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS catalogue_words (
  number INTEGER PRIMARY KEY, vocabulary TEXT NOT NULL, word TEXT NOT NULL, UNIQUE (vocabulary, word)
);
CREATE TABLE IF NOT EXISTS blocked_videos (row INTEGER PRIMARY KEY, regions TEXT NOT NULL)
"""
_REMOVED: Final = "removed"
_LOAD_CHUNK: Final = 20_000
_WORDS: Final = ("author", "topic", "language", "region", "cluster")


@dataclass(slots=True)
class _State:
    """A video between its records: `video` carries no embedding, `embedding` is float32 bytes."""

    row: int
    visibility: str
    embedding: bytes
    video: VideoPublished
    applied: int

    def publish(self, event: VideoPublished) -> None:
        """The video as published anew; a removed one stays removed."""
        self.embedding = _pack(event.content_embedding)
        blocked = event.blocked_regions or self.video.blocked_regions  # to publish it again lifts nothing
        self.video = msgspec.structs.replace(event, content_embedding=(), blocked_regions=blocked)
        if self.visibility != _REMOVED:
            self.visibility = event.visibility

    def update(self, event: VideoUpdated) -> None:
        """Change the fields that the event names."""
        named = ("topic", "title", "description", "hashtags", "blocked_regions")
        changes: dict[str, Any] = {name: value for name in named if (value := getattr(event, name)) is not None}
        self.video = msgspec.structs.replace(self.video, **changes)
        if event.content_embedding is not None:
            self.embedding = _pack(event.content_embedding)
        if event.visibility is not None and self.visibility != _REMOVED:
            self.visibility = event.visibility


class SqliteVideoStore:
    """The catalogue in a SQLite file; embeddings are kept as float32."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)
        if database.row("SELECT 1 FROM catalogue_words LIMIT 1") is None:  # a file of an older build
            for name in _WORDS:
                database.execute(
                    "INSERT OR IGNORE INTO catalogue_words (vocabulary, word)"
                    f" SELECT ?, {name} FROM videos WHERE {name} != '' ORDER BY row",
                    (name,),
                )

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply video_published, video_updated and video_removed events in order, each once by its offset."""
        ours = [record for record in records if isinstance(record.event, VideoPublished | VideoUpdated | VideoRemoved)]
        if not ours:
            return
        with self._database.transaction():
            ids = list(dict.fromkeys(_video_id(record) for record in ours))
            states = self._states(ids)
            first = self._next_row()
            changed: dict[str, _State] = {}
            words: dict[tuple[str, str], None] = {}
            for record in ours:
                state = _advance(states, record, first)
                if state is not None:
                    first = max(first, state.row + 1)
                    changed[_video_id(record)] = state
                    words |= dict.fromkeys(_words_of(state.video))
            self._database.execute_many("INSERT OR IGNORE INTO catalogue_words (vocabulary, word) VALUES (?, ?)", words)
            self._database.execute_many(
                f"INSERT OR REPLACE INTO videos VALUES ({','.join('?' * 13)})",
                (_as_row(video_id, state) for video_id, state in changed.items()),
            )
            self._write_blocked(list(changed.values()))

    def _write_blocked(self, states: Sequence[_State]) -> None:
        """Keep which of them are blocked somewhere where `load` finds it without decoding a record."""
        regions = [(state.row, state.video.blocked_regions) for state in states]
        blocked = [(row, json.dumps(where)) for row, where in regions if where]
        free = [(row,) for row, where in regions if not where]
        self._database.execute_many("DELETE FROM blocked_videos WHERE row = ?", free)
        self._database.execute_many("INSERT OR REPLACE INTO blocked_videos VALUES (?, ?)", blocked)

    async def videos(self, video_ids: Sequence[str]) -> list[VideoRecord | None]:
        """In the order asked for, None for each unknown one."""
        states = self._states(video_ids)
        return [_as_record(states.get(video_id)) for video_id in video_ids]

    async def load(self) -> VideoTable:
        """The whole catalogue as columns, by row."""
        sql = (
            "SELECT row, id, author, topic, language, region, cluster, length_ms, upload_ms, visibility,"
            " embedding FROM videos WHERE row >= ? ORDER BY row LIMIT ?"
        )
        table, after = VideoTable(self._next_row()), 0
        of = dict(
            zip(_WORDS, (table.authors, table.topics, table.languages, table.regions, table.clusters), strict=True)
        )
        for name, word in self._database.rows("SELECT vocabulary, word FROM catalogue_words ORDER BY number"):
            of[name].add(word)
        while rows := self._database.rows(sql, (after, _LOAD_CHUNK)):
            after = rows[-1][0] + 1
            _extend(table, rows)
        for row, regions in self._database.rows("SELECT row, regions FROM blocked_videos"):
            table.block(row, json.loads(regions))
        return table

    def _states(self, video_ids: Sequence[str]) -> dict[str, _State]:
        sql = "SELECT id, row, visibility, embedding, record, applied FROM videos WHERE id IN"
        states = {}
        for video_id, row, visibility, embedding, raw, applied in self._database.select_in(sql, video_ids):
            video = decode(raw)
            assert isinstance(video, VideoPublished)
            states[video_id] = _State(row, visibility, embedding, video, applied)
        return states

    def _next_row(self) -> int:
        found = self._database.row("SELECT max(row) FROM videos")
        return 0 if found is None or found[0] is None else int(found[0]) + 1


def _advance(states: dict[str, _State], record: Record, next_row: int) -> _State | None:
    """The video's state after the record, None when the record changes nothing."""
    event = record.event
    state = states.get(_video_id(record))
    if state is not None and state.applied >= record.offset:
        return None
    if isinstance(event, VideoPublished):
        if state is None:
            state = states[event.video_id] = _State(next_row, "", b"", event, 0)
        state.publish(event)
    elif state is None:
        return None
    elif isinstance(event, VideoUpdated):
        state.update(event)
    else:
        state.visibility = _REMOVED
    state.applied = record.offset
    return state


def _video_id(record: Record) -> str:
    video_id: str = record.event.video_id  # type: ignore[union-attr]
    return video_id


def _words_of(video: VideoPublished) -> list[tuple[str, str]]:
    """A video's words, each with its vocabulary."""
    words = (video.author_id, video.topic, video.language, video.region, video.thumbnail_cluster)
    return [(name, word) for name, word in zip(_WORDS, words, strict=True) if word]


def _as_row(video_id: str, state: _State) -> Row:
    video = state.video
    words = (video.author_id, video.topic, video.language, video.region, video.thumbnail_cluster)
    numbers = (video.length_ms, video.upload_ms)
    raw = encode(video)
    return (
        state.row, video_id, state.visibility, *words, *numbers, state.embedding, raw, state.applied,
    )  # fmt: skip


def _as_record(state: _State | None) -> VideoRecord | None:
    if state is None:
        return None
    embedding = tuple(np.frombuffer(state.embedding, "<f4").tolist())
    video = msgspec.structs.replace(state.video, content_embedding=embedding)
    return VideoRecord(row=state.row, video=video, visibility=state.visibility)


def _extend(table: VideoTable, rows: Sequence[Row]) -> None:
    """Add the rows of one chunk to the table."""
    columns = list(zip(*rows, strict=True))
    table.extend(
        video_ids=columns[1],
        words=dict(zip(_WORDS, columns[2:7], strict=True)),
        length_ms=np.asarray(columns[7], np.int64),
        upload_ms=np.asarray(columns[8], np.int64),
        visibility=columns[9],
        embedding=_unpack(columns[10]),
    )


def _pack(vector: Sequence[float]) -> bytes:
    return np.asarray(vector, "<f4").tobytes()


def _unpack(blobs: Sequence[bytes]) -> Float32:
    """Embeddings as rows, zeros where a video has none. [blobs, dim] float32"""
    width = max(map(len, blobs))
    raw = b"".join(blob if len(blob) == width else blob.ljust(width, b"\0") for blob in blobs)
    return np.frombuffer(raw, "<f4").reshape(len(blobs), width // 4).astype(np.float32)
