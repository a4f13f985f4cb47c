"""What stages tell each other on internal topics: catalogue entries in their one order, and batches of counts."""

from typing import Final, TypeVar
from zlib import crc32

import msgspec
import numpy as np

from core.arrays import Array
from core.errors import CorruptData, SchemaMismatch

STREAM_SCHEMA: Final = 1

# One row for each event in a batch of counts. `video`, `author` and `trend` are the rows of the counters that the
# batch's partition owns, -1 where it does not own them; `known` says whether the catalogue has the event's video.
COUNT_ROW: Final = np.dtype(
    [
        ("offset", "<i8"),
        ("time_ms", "<i8"),
        ("play_ms", "<i8"),
        ("length_ms", "<i8"),
        ("video", "<i4"),
        ("author", "<i4"),
        ("trend", "<i4"),
        ("op", "u1"),
        ("long_view", "u1"),
        ("click", "u1"),
        ("known", "u1"),
    ]
)


class CatalogueEntry(msgspec.Struct, frozen=True, kw_only=True, tag="catalogue_entry", tag_field="kind"):
    """A catalogue event (`core.events.encode`) with its place on video.processed.

    `previous_offset` is the source offset of the entry before it in its source partition, -1 where the registrar had
    just started: an entry whose predecessor did not arrive is passed over, and comes again.
    """

    source_partition: int
    source_offset: int
    event: bytes
    previous_offset: int = -1
    schema: int = STREAM_SCHEMA


class CountsBatch(msgspec.Struct, frozen=True, kw_only=True, tag="counts_batch", tag_field="kind"):
    """What a micro-batch of one source partition adds to the counters of one counter partition.

    `rows` are COUNT_ROW bytes in the order of source offsets; their codes need the catalogue up to `catalogue_offset`.
    """

    source_partition: int
    catalogue_offset: int
    applied_us: int
    rows: bytes
    checksum: int
    schema: int = STREAM_SCHEMA

    @classmethod
    def of(cls, source_partition: int, catalogue_offset: int, applied_us: int, rows: Array) -> "CountsBatch":
        """A batch of rows [events] COUNT_ROW."""
        raw = np.ascontiguousarray(rows).tobytes()
        return cls(
            source_partition=source_partition,
            catalogue_offset=catalogue_offset,
            applied_us=applied_us,
            rows=raw,
            checksum=crc32(raw),
        )

    def columns(self) -> Array:
        """The rows as an array [events] COUNT_ROW; CorruptData where they are not what was sent."""
        if len(self.rows) % COUNT_ROW.itemsize or crc32(self.rows) != self.checksum:
            raise CorruptData(
                f"A batch of counts from partition {self.source_partition} is not what was sent (its checksum differs)."
            )
        return np.frombuffer(self.rows, COUNT_ROW)

    def fault(self, sizes: dict[str, int]) -> str:
        """Why it cannot be counted where there are so many counters of each entity, "" where it can."""
        if self.source_partition < 0:
            return f"It says that it comes from partition {self.source_partition}, which cannot be."
        rows = self.columns()
        for name, size in sizes.items():
            if len(rows) and not -1 <= rows[name].min() <= rows[name].max() < size:
                return f"It counts for the {name} {int(rows[name].max())}, and the catalogue has {size}."
        return ""


_Message = TypeVar("_Message")


class CounterRow(msgspec.Struct, frozen=True, kw_only=True, tag="counter_row", tag_field="kind"):
    """The packed COUNTS_DTYPE row of a video, author or trend, for its place `row` of the hosts' tables."""

    entity: str
    row: int
    packed: bytes
    schema: int = STREAM_SCHEMA


class _Head(msgspec.Struct):
    schema: int = 0


_encoder = msgspec.msgpack.Encoder()
_entries = msgspec.msgpack.Decoder(CatalogueEntry)
_batches = msgspec.msgpack.Decoder(CountsBatch)
_rows = msgspec.msgpack.Decoder(CounterRow)
_heads = msgspec.msgpack.Decoder(_Head)


def encode_entry(entry: CatalogueEntry) -> bytes:
    """A catalogue entry as MessagePack."""
    return _encoder.encode(entry)


def decode_entry(raw: bytes) -> CatalogueEntry:
    """The catalogue entry in `raw`; SchemaMismatch for a newer version's, CorruptData for anything else."""
    return _decoded(_entries, raw, "A catalogue entry")


def encode_batch(batch: CountsBatch) -> bytes:
    """A batch of counts as MessagePack."""
    return _encoder.encode(batch)


def decode_batch(raw: bytes) -> CountsBatch:
    """The batch of counts in `raw`; SchemaMismatch for a newer version's, CorruptData for anything else."""
    return _decoded(_batches, raw, "A batch of counts")


def encode_row(row: CounterRow) -> bytes:
    """A counter's row as MessagePack."""
    return _encoder.encode(row)


def decode_row(raw: bytes) -> CounterRow:
    """The counter's row in `raw`; SchemaMismatch for a newer version's, CorruptData for anything else."""
    return _decoded(_rows, raw, "A counter's row")


def _decoded(decoder: "msgspec.msgpack.Decoder[_Message]", raw: bytes, what: str) -> _Message:
    try:
        found = _heads.decode(raw).schema
        if found > STREAM_SCHEMA:
            raise SchemaMismatch(f"{what} has schema {found}, this build reads up to {STREAM_SCHEMA}; upgrade.")
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"{what} of {len(raw)} bytes cannot be read ({error}).") from error
