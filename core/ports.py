"""Ports: small async protocols for every outside system, speaking core types.

Each has an embedded implementation (the default, and the test fake) and a real one; a setting chooses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from core.catalogue import Reactions, Relations, VideoRecord, ViewerRecord
from core.events import AnyEvent, Event
from core.slate import Slate, SlateDetail
from core.video_table import VideoTable


class Record(msgspec.Struct, frozen=True, gc=False):
    """One event on the log with its place."""

    offset: int
    event: AnyEvent
    partition: int = 0


@dataclass(frozen=True, slots=True)
class Appended:
    """Where an event was put; `duplicate` says that its id was there already."""

    offset: int
    duplicate: bool


class EventReader(Protocol):
    """A numbered sequence of events: an EventLog, or the archive and the log of a cluster as one."""

    async def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records with an offset above `after`, in order."""
        ...

    async def end(self) -> int:
        """The last offset, 0 when empty."""
        ...


class EventLog(Protocol):
    """The durable, ordered, idempotent log of events; offsets start at 1."""

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Durable when it returns; an event whose id is known is not written again. Raises Unavailable, StorageFull."""
        ...

    async def read(self, after: int, limit: int) -> list[Record]:
        """At most `limit` records with an offset above `after`, in order."""
        ...

    async def end(self) -> int:
        """The last offset, 0 when empty."""
        ...

    async def committed(self, group: str) -> int:
        """The offset up to which the consumer group has finished its effects, 0 at first."""
        ...

    async def commit(self, group: str, offset: int) -> None:
        """Remember that the group's effects are durable up to `offset`."""
        ...


class HistoryStore(Protocol):
    """What each viewer has seen and how they reacted.

    Records may come in any order and any number of times; what no viewer did (an empty viewer id) is passed over.
    """

    async def record(self, records: Sequence[Record]) -> None:
        """Apply viewer events. After Unavailable any part of them may be applied: give all of them again."""
        ...

    async def seen(self, viewer_id: str) -> list[str]:
        """Video ids of all reported impressions and watches, oldest first."""
        ...

    async def seen_between(self, viewer_id: str, from_ms: int, until_ms: int) -> list[str]:
        """The video ids with their last sight in [from_ms, until_ms), oldest first; some with a later one may be among
        them."""
        ...

    async def reactions(self, viewer_id: str) -> Reactions:
        """Likes, saves and dislikes that stand."""
        ...


class Tables(Protocol):
    """Users and how they stand to each other."""

    async def put_users(self, users: Sequence[ViewerRecord]) -> None:
        """Insert or replace."""
        ...

    async def users(self, user_ids: Sequence[str]) -> list[ViewerRecord | None]:
        """In the order asked for, None for each unknown one."""
        ...

    async def all_users(self) -> list[ViewerRecord]:
        """Every user, by id."""
        ...

    async def relate(self, records: Sequence[Record]) -> None:
        """Apply follow, unfollow, (un)hide_author, block and unblock events; idempotent."""
        ...

    async def relations(self, viewer_id: str) -> Relations:
        """Follows, blocks in both directions and hidden authors."""
        ...


class VideoStore(Protocol):
    """Video records and the row numbers of the VideoTable."""

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply video_published, video_updated and video_removed events in order; rows are given once, for ever."""
        ...

    async def videos(self, video_ids: Sequence[str]) -> list[VideoRecord | None]:
        """In the order asked for, None for each unknown one."""
        ...

    async def load(self) -> VideoTable:
        """The whole catalogue as columns, by row."""
        ...


class FeatureStore(Protocol):
    """Packed feature rows by entity ("viewer", "video", "author") and id."""

    async def read(self, entity: str, ids: Sequence[str]) -> list[bytes | None]:
        """One batched read, in the order asked for."""
        ...

    async def write(
        self, rows: Mapping[str, Mapping[str, bytes]], applied: int | Mapping[str, int]
    ) -> Mapping[str, int]:
        """Write rows by entity and id, and how far into the log they go, in one batch, the latter last.

        `applied` is the offset of the one log, or an offset for each mark ("viewer:3") where several writers share
        the store; marks that are not named stay. Rows that are written again change nothing. What the named marks
        said until now is answered, read in the same step: who shares a mark learns of every other's write. A row may be
        given as `core.sparse.squeeze` makes it, and is read whole.
        """
        ...

    async def scan(self, entity: str) -> list[tuple[str, bytes]]:
        """Every row of an entity, by id."""
        ...

    async def applied_offset(self) -> int:
        """The offset of the one log that the stored rows include, 0 at first."""
        ...

    async def marks(self, names: Sequence[str]) -> list[int]:
        """The offsets last written under these marks, in the order asked for, 0 for each that is not there."""
        ...


class SlateStore(Protocol):
    """Served slates, written before the answer."""

    async def append(self, slate: Slate) -> None:
        """Durable when it returns."""
        ...

    async def detail(self, detail: SlateDetail) -> None:
        """What explains a slate; may come later, may be absent."""
        ...

    async def get(self, slate_id: str) -> Slate | None:
        """The slate, None when unknown."""
        ...

    async def get_detail(self, slate_id: str) -> SlateDetail | None:
        """Its detail, None when there is none."""
        ...

    async def latest(self, viewer_id: str, limit: int) -> list[Slate]:
        """The viewer's last slates, newest first; those of no session (session_id "") are left out."""
        ...


class SlateLog(Protocol):
    """Every served slate in the order in which they were logged: what training and checks read."""

    async def logged(self, after: int, limit: int) -> list[tuple[int, Slate, SlateDetail | None]]:
        """At most `limit` slates after a place, each with its place; a slate may come twice."""
        ...


class Bytes(Protocol):
    """Short-lived bytes by key. In every cache key the part in braces decides the node (core.cache_keys)."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order asked for, in one round trip a node."""
        ...

    async def set(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        """Keep each value for `ttl_ms` milliseconds."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        ...


class Ranked(Protocol):
    """Sorted sets: members by score, the best `most` kept."""

    async def add(self, scores: Mapping[str, Mapping[str, float]], most: int, ttl_ms: int) -> None:
        """Set members' scores in the sets by key; each set then keeps its `most` highest, for `ttl_ms` milliseconds."""
        ...

    async def top(self, keys: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """The `limit` highest of each set, highest first, ties by member downwards."""
        ...

    async def remove(self, members: Mapping[str, Sequence[str]]) -> None:
        """Take members out of the sets."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the sets."""
        ...


class Counters(Protocol):
    """Integers by key that start at 0."""

    async def add(self, amounts: Mapping[str, int], ttl_ms: int) -> dict[str, int]:
        """Add to each and give the new values; a counter lives `ttl_ms` milliseconds from its first addition."""
        ...

    async def get(self, keys: Sequence[str]) -> list[int]:
        """In the order asked for, 0 for each unknown one."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        ...


class Bitmaps(Protocol):
    """Sets of small integers by key, such as the active users of a day."""

    async def mark(self, bits: Mapping[str, Sequence[int]], ttl_ms: int) -> None:
        """Set bits below 2^32; the map lives for `ttl_ms` milliseconds from its last mark. InputError for others."""
        ...

    async def test(self, key: str, bits: Sequence[int]) -> list[bool]:
        """Which of the bits are set, in the order asked for."""
        ...

    async def count(self, key: str) -> int:
        """How many bits are set."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the maps."""
        ...


class BlobStore(Protocol):
    """Whole objects by path-like key ("archive/user.interaction/…"); an object appears whole or not at all."""

    async def put(self, key: str, value: bytes) -> None:
        """Durable when it returns; replaces. Raises Unavailable, StorageFull."""
        ...

    async def get(self, key: str) -> bytes:
        """The object; NotFound when there is none."""
        ...

    async def list(self, prefix: str) -> list[str]:
        """The keys that start with the prefix, sorted."""
        ...

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the objects; unknown keys are no error."""
        ...


class EventSink(Protocol):
    """Where accepted events go."""

    async def append(self, events: Sequence[Event]) -> list[Appended]:
        """Durable when it returns. Raises Unavailable, StorageFull; then nothing is acknowledged."""
        ...


@dataclass(frozen=True, slots=True)
class Advance:
    """What a micro-batch leaves in a partition's state: `rows` as (id, version, bytes), the hashes of event ids with
    the time that they were first seen (ms), and the last offset of each source; `squeezed` says that the rows are as
    `core.sparse.squeeze` gives them, who reads them gets them whole."""

    offset: int
    rows: Sequence[tuple[str, int, bytes]] = ()
    event_ids: Mapping[bytes, int] = field(default_factory=dict)
    watermarks: Mapping[int, int] = field(default_factory=dict)
    squeezed: bool = False


class PartitionState(Protocol):
    """The durable state of one partition of the stream, with one writer. No call suspends; all raise Unavailable,
    StorageFull, CorruptData."""

    def position(self) -> tuple[int, dict[int, int]]:
        """The offset that the state includes (0 at first), and its watermarks by source."""
        ...

    def rows(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The rows that exist, by id."""
        ...

    def seen(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Which event ids (16-byte hashes) are known, with the time that each was first seen, ms."""
        ...

    def commit(self, advance: Advance) -> None:
        """All of a micro-batch or nothing of it."""
        ...

    def rows_since(self, version: int, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        """Rows with a version above `version` as (place, id, row), by place, beyond the place `after` (0 at first)."""
        ...

    def copy(self, to: Path) -> int:
        """Write a whole copy into a new file, while others go on; the offset that it includes."""
        ...

    def close(self) -> None:
        """Let go of it, so that another process may take it."""
        ...


class PartitionStates(Protocol):
    """The state files of a host, by name ("viewer-3")."""

    def offset(self, name: str) -> int:
        """The offset that the state includes, 0 where there is none."""
        ...

    def open(self, name: str) -> PartitionState:
        """The state, an empty one at first; Unavailable while another process has it."""
        ...

    def replace(self, name: str, copy: Path) -> None:
        """Put a copy in the place of a state that nobody has open; the copy is moved."""
        ...
