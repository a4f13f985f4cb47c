"""One object of the archive as bytes: Parquet with checksums, columnar on the way in and on the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.arrays import Array
from core.errors import CorruptData, SchemaMismatch
from core.events import decode, kind_of
from core.log import Entry
from core.topics import USER_INTERACTION, VIDEO_PROCESSED
from features.archive.layout import Piece

# The topics whose messages are events, so that their columns can be told.
EVENT_TOPICS: Final = (USER_INTERACTION, VIDEO_PROCESSED)
PLACES: Final = ("offset", "time_ms", "key", "value")
_WORDS: Final = pa.dictionary(pa.int32(), pa.string())
_SCHEMA: Final = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("time_ms", pa.int64(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("value", pa.binary(), nullable=False),
        # Of events alone; `readable` is false for what no build so far could decode.
        pa.field("readable", pa.bool_()),
        pa.field("event_id", pa.string()),
        pa.field("kind", _WORDS),
        pa.field("viewer_id", pa.string()),
        pa.field("event_ms", pa.int64()),
    ]
)
_ZSTD_LEVEL: Final = 3
_REMOVED: Final = b"removed"


@dataclass(frozen=True, slots=True)
class Rows:
    """Messages of one partition in offset order, as columns: Arrow for text and bytes, NumPy int64 for numbers."""

    topic: str
    partition: int
    offset: Array
    time_ms: Array
    key: Any
    value: Any

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, keep: Array) -> "Rows":
        """The rows that a mask keeps."""
        mask = pa.array(keep)
        key, value = self.key.filter(mask), self.value.filter(mask)
        return Rows(self.topic, self.partition, self.offset[keep], self.time_ms[keep], key, value)

    def slice(self, start: int, stop: int) -> "Rows":
        """Rows start..stop-1, without a copy."""
        at, size = slice(start, stop), max(stop - start, 0)
        key, value = self.key.slice(start, size), self.value.slice(start, size)
        return Rows(self.topic, self.partition, self.offset[at], self.time_ms[at], key, value)

    def entries(self) -> list[Entry]:
        """One object a message, for those who want them so."""
        columns = (self.offset.tolist(), self.key.to_pylist(), self.value.to_pylist(), self.time_ms.tolist())
        return [
            Entry(self.topic, self.partition, offset, key, value, time_ms)
            for offset, key, value, time_ms in zip(*columns, strict=True)
        ]


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows that follow one another, as one; at least one part."""
    if len(parts) == 1:
        return parts[0]
    return Rows(
        parts[0].topic,
        parts[0].partition,
        np.concatenate([part.offset for part in parts]),
        np.concatenate([part.time_ms for part in parts]),
        pa.concat_arrays([part.key for part in parts]),
        pa.concat_arrays([part.value for part in parts]),
    )


def rows_of(topic: str, partition: int, entries: Sequence[Entry]) -> Rows:
    """Messages of one partition as columns."""
    return Rows(
        topic,
        partition,
        np.array([e.offset for e in entries], np.int64),
        np.array([e.time_ms for e in entries], np.int64),
        pa.array([e.key for e in entries], pa.string()),
        pa.array([e.value for e in entries], pa.binary()),
    )


def pack(rows: Rows, removed: int = 0) -> bytes:
    """An object's bytes; `removed` says how many offsets in its range have no row any more, because of a deletion."""
    facts = _facts(rows) if rows.topic in EVENT_TOPICS else [pa.nulls(len(rows), f.type) for f in _SCHEMA][5:]
    columns = [np.full(len(rows), rows.partition, np.int32), rows.offset, rows.time_ms, rows.key, rows.value, *facts]
    schema = _SCHEMA.with_metadata({_REMOVED: str(removed).encode()})
    table = pa.table([pa.array(c) if isinstance(c, np.ndarray) else c for c in columns], schema=schema)
    out = BytesIO()
    pq.write_table(table, out, compression="zstd", compression_level=_ZSTD_LEVEL, write_page_checksum=True,
                   use_dictionary=["key", "kind", "viewer_id"],
                   column_encoding={"offset": "DELTA_BINARY_PACKED", "time_ms": "DELTA_BINARY_PACKED"})  # fmt: skip
    return out.getvalue()


def _facts(rows: Rows) -> list[Any]:
    """readable, event_id, kind, viewer_id and event_ms of every row."""
    found: list[tuple[bool, str | None, str | None, str | None, int | None]] = []
    for raw in rows.value.to_pylist():
        try:
            event = decode(raw)
        except SchemaMismatch:
            found.append((False, None, None, None, None))
        else:
            found.append((True, event.event_id, kind_of(event), event.viewer_id, event.time_ms))
    columns = zip(*found, strict=True) if found else [()] * 5
    return [pa.array(column, field.type) for column, field in zip(columns, list(_SCHEMA)[5:], strict=True)]


def unpack(piece: Piece, raw: bytes) -> Rows:
    """The rows of an object, verified against its name; CorruptData where it is not what was written."""
    table, removed = _table(piece, raw, PLACES)
    offset, time_ms = (np.asarray(table[name], np.int64) for name in ("offset", "time_ms"))
    whole = len(offset) + removed == piece.last - piece.first + 1 and bool((np.diff(offset) > 0).all())
    if not whole or (len(offset) and not piece.first <= offset[0] <= offset[-1] <= piece.last):
        raise CorruptData(_sentence(piece, f"it holds {len(offset)} rows that do not fit its name"))
    return Rows(piece.topic, piece.partition, offset, time_ms, _flat(table["key"]), _flat(table["value"]))


def keys_of(piece: Piece, raw: bytes) -> Any:
    """The distinct keys of an object's messages, without reading the messages."""
    return pc.unique(_table(piece, raw, ("key",))[0]["key"])


def removed_from(piece: Piece, raw: bytes) -> int:
    """How many of its offsets an object has lost to deletions."""
    return _table(piece, raw, ())[1]


def _table(piece: Piece, raw: bytes, columns: tuple[str, ...]) -> tuple[Any, int]:
    try:
        file = pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True)
        removed = int((file.schema_arrow.metadata or {}).get(_REMOVED, b"0"))
        return file.read(columns=list(columns)), removed
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptData(_sentence(piece, str(error).splitlines()[0].rstrip("."))) from error


def _flat(column: Any) -> Any:
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks else whole


def _sentence(piece: Piece, what: str) -> str:
    return (
        f"The archive's object {piece.key} is damaged ({what}); restore it from a copy, or delete it while the log"
        f" still holds offsets {piece.first} to {piece.last}."
    )
