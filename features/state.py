"""Raw feature state in memory: videos, authors and topic-in-region counters by row, viewers as packed records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from core.arrays import Array, Int32
from core.catalogue import ViewerRecord
from core.query import Query
from core.video_table import VideoTable, Vocabulary
from features.layout import (
    ACTIONS,
    COUNTS_DTYPE,
    FAMILIES,
    PAIR_ACTIONS,
    PROFILE,
    REGION_STRIDE,
    TRAITS,
    VIDEO_HALF_LIVES,
    VIEWER_DTYPE,
    VIEWER_HALF_LIVES,
)
from features.packed import pack_rows, record_of
from features.raw import MATCH, OWN, Blocks, Counts, Videos, Viewers

# The trait that names a spoken language; it has its own places in the profile.
_SPOKEN = "languages="


class CounterTable:
    """Counters of one kind of entity by row, growing as rows appear; an array of COUNTS_DTYPE records."""

    def __init__(self, rows: int = 0) -> None:
        self.records: Array = np.zeros(max(rows, 1), COUNTS_DTYPE)
        self._counts = self._view()

    def ensure(self, rows: int) -> None:
        """Have at least this many rows."""
        if rows > len(self.records):
            grown = np.zeros(max(rows, 2 * len(self.records)), COUNTS_DTYPE)
            grown[: len(self.records)] = self.records
            self.records = grown
            self._counts = self._view()

    @property
    def counts(self) -> Counts:
        """The records by field, as the kernels take them."""
        return self._counts

    def _view(self) -> Counts:
        records = self.records
        return Counts(records["counts"], records["steps"], records["totals"])

    def pack(self, rows: Sequence[int]) -> list[bytes]:
        """Rows as bytes."""
        return pack_rows(self.records[np.asarray(rows, np.int64)])

    def unpack(self, row: int, raw: bytes | None) -> None:
        """Restore a row, an empty one from None; CorruptData or SchemaMismatch for bytes that are not one."""
        self.ensure(row + 1)
        self.records[row] = record_of(raw, COUNTS_DTYPE)[0] if raw is not None else np.zeros(1, COUNTS_DTYPE)[0]


def viewer_arrays(records: Array) -> Viewers:
    """VIEWER_DTYPE records [viewers] by field, as the kernels take them."""
    return Viewers(**{name: records[name] for name in Viewers._fields})


@dataclass(slots=True)
class TraitCodes:
    """Dense codes of the free-form profile values ("name=value"), by trait name in order of first sight."""

    names: list[str] = field(default_factory=list)
    values: dict[str, Vocabulary] = field(default_factory=dict)

    def learn(self, traits: tuple[str, ...]) -> None:
        """Give a code to every value not seen before."""
        for trait in traits:
            name, _, value = trait.partition("=")
            if trait.startswith(_SPOKEN):
                continue
            if name not in self.values and len(self.names) < TRAITS:
                self.names.append(name)
                self.values[name] = Vocabulary()
            if name in self.values:
                self.values[name].add(value)

    def encode(self, traits: tuple[str, ...]) -> Int32:
        """Codes by trait, 0 for unknown. [TRAITS] int32"""
        codes = np.zeros(TRAITS, np.int32)
        for trait in traits:
            name, _, value = trait.partition("=")
            if name in self.values:
                codes[self.names.index(name)] = self.values[name].code(value)
        return codes


class CounterRows(Protocol):
    """Counters by row, in this process's memory or mapped from its host's tables.

    A mapped row may change while it is read: its version is negative meanwhile, and another one afterwards.
    """

    @property
    def records(self) -> Array:
        """The rows [rows] COUNTS_DTYPE."""
        ...

    @property
    def counts(self) -> Counts:
        """The rows by field, as the kernels take them."""
        ...

    def ensure(self, rows: int) -> None:
        """Have at least this many rows."""
        ...

    def pack(self, rows: Sequence[int]) -> list[bytes]:
        """Rows as bytes."""
        ...

    def unpack(self, row: int, raw: bytes | None) -> None:
        """Restore a row."""
        ...


class FeatureState:
    """Everything counted about videos, authors and topics in regions, beside the catalogue's columns.

    The counters are its own, or a host's that another process writes: `counters` (videos, authors, trends).
    """

    def __init__(
        self,
        table: VideoTable,
        traits: TraitCodes | None = None,
        counters: tuple[CounterRows, CounterRows, CounterRows] | None = None,
    ) -> None:
        self.table = table
        self.traits = traits or TraitCodes()
        self.devices = Vocabulary()
        self.age_bands = Vocabulary()
        own = counters or (CounterTable(), CounterTable(), CounterTable())
        self.videos: CounterRows = own[0]
        self.authors: CounterRows = own[1]
        self.trends: CounterRows = own[2]
        self.ensure()

    def ensure(self) -> None:
        """Grow the counters to the catalogue."""
        self.videos.ensure(len(self.table))
        self.authors.ensure(len(self.table.authors))
        self.trends.ensure(len(self.table.topics) * REGION_STRIDE)

    def video_columns(self) -> Videos:
        """The catalogue's columns, as the kernels take them."""
        table = self.table
        return Videos(
            table.author,
            table.topic,
            table.cluster,
            table.language,
            table.length_ms,
            table.embedding,
        )

    def new_viewer(self, profile: ViewerRecord | None) -> Array:
        """A record without history. [1] VIEWER_DTYPE"""
        record = np.zeros(1, VIEWER_DTYPE)
        if profile is not None:
            self.set_profile(record, profile)
        return record

    def set_profile(self, record: Array, profile: ViewerRecord) -> None:
        """Put the codes of a profile into a record [1] VIEWER_DTYPE."""
        record["profile"][0] = self.profile_codes(profile)
        record["traits"][0] = self.traits.encode(profile.traits)

    def profile_codes(self, viewer: ViewerRecord) -> Int32:
        """Region, up to three languages, device, age band as codes (0 unknown). [PROFILE] int32"""
        table = self.table
        spoken = [viewer.language, *(t.removeprefix(_SPOKEN) for t in viewer.traits if t.startswith(_SPOKEN))]
        languages = [code for code in dict.fromkeys(table.languages.code(word) for word in spoken) if code][:3]
        codes = np.zeros(len(PROFILE), np.int32)
        codes[0] = table.regions.code(viewer.region)
        codes[1 : 1 + len(languages)] = languages
        codes[4] = self.devices.add(viewer.device)
        codes[5] = self.age_bands.add(viewer.age_band)
        return codes


def empty_blocks(reads: int, viewers: int) -> Blocks:
    """Room for `reads` reads by as many viewers, or by one for all."""
    halves, own, actions = len(VIDEO_HALF_LIVES), len(VIEWER_HALF_LIVES), len(ACTIONS)
    return Blocks(
        video=np.zeros((reads, halves, actions), np.int64),
        author=np.zeros((reads, halves, actions), np.int64),
        trend=np.zeros((reads, halves, actions), np.int64),
        pair=np.zeros((reads, len(FAMILIES), len(PAIR_ACTIONS)), np.int64),
        match=np.zeros((reads, len(MATCH)), np.float64),
        viewer=np.zeros((viewers, own, actions), np.int64),
        own=np.zeros((viewers, len(OWN)), np.float64),
    )


def state_of(query: Query) -> Array:
    """The viewer's record of a query, an empty one for a new viewer. [1] VIEWER_DTYPE"""
    return query.viewer_state if query.viewer_state is not None else np.zeros(1, VIEWER_DTYPE)
