"""What Trending counts: who counted last for which video, sums by hour, and the port of the store that keeps them."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, Protocol

HOUR_MS: Final = 3_600_000
VIEW, LIKE, SHARE = range(3)
KINDS: Final = 3


class Standing(NamedTuple):
    """How far a viewer is on the way to count in full; times are Unix ms, a day is a number of days since 1970.

    `day` is that of the first impression (-1: none yet), `days` how many different ones had one, at most 2 are told.
    """

    first_ms: int
    impressions: int = 0
    day: int = -1
    days: int = 0


class Mark(NamedTuple):
    """The hour in which a viewer's view, like or share of a video counts, with what it weighs; 0: it was taken back."""

    hour: int
    units: int
    region: str
    time_ms: int


SumKey = tuple[int, str, str]  # hour since 1970, video, region of the viewer


@dataclass(slots=True)
class TrendStep:
    """What a micro-batch leaves: `sums` are changes as [views, likes, shares (units), points], `event_ids` the hashes
    of events with the time that they were first seen (ms)."""

    offset: int
    standings: dict[str, Standing] = field(default_factory=dict)
    marks: dict[int, Mark] = field(default_factory=dict)
    sums: dict[SumKey, list[int]] = field(default_factory=dict)
    event_ids: dict[bytes, int] = field(default_factory=dict)


class WindowRow(NamedTuple):
    """What counted for a video from one region in a window of hours; `hour` is the last in which anything counts."""

    video_id: str
    region: str
    views: int
    likes: int
    shares: int
    hour: int


class PointsRow(NamedTuple):
    """The raw points of a video from one region in one hour."""

    video_id: str
    region: str
    hour: int
    points: int


class TrendState(Protocol):
    """The counts of one partition of the log, with one writer at a time. No call suspends; all raise Unavailable,
    StorageFull, CorruptData."""

    def step(self) -> AbstractContextManager[None]:
        """What is read and committed inside is one transaction, and nobody else's comes between."""
        ...

    def position(self) -> int:
        """The offset that the counts include, 0 at first."""
        ...

    def standings(self, viewers: Sequence[str]) -> dict[str, Standing]:
        """Those that are known."""
        ...

    def marks(self, keys: Sequence[int]) -> dict[int, Mark]:
        """Those that are known, by `mark_key`."""
        ...

    def seen(self, hashes: Sequence[bytes]) -> dict[bytes, int]:
        """Which event ids are known, with the time that each was first seen, ms."""
        ...

    def commit(self, step: TrendStep) -> None:
        """All of a micro-batch or nothing of it; nothing where the counts are further already."""
        ...

    def window(self, after: int, until: int) -> list[WindowRow]:
        """What counts in the hours after `after` up to `until`, by video and region."""
        ...

    def points(self, after: int, until: int) -> list[PointsRow]:
        """Raw points in the hours after `after` up to `until`."""
        ...

    def forget(self, before: int, share: float) -> None:
        """Drop the sums of earlier hours, and the marks of earlier hours among a `share` of all marks, the next in
        turn."""
        ...

    def copy(self, to: Path) -> int:
        """Write a whole copy into a new file, while others go on; the offset that it includes."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def mark_key(viewer_id: str, video_id: str, kind: int) -> int:
    """64 bits, signed, that stand for a viewer's views (likes, shares) of a video.

    Among a billion marks some two share a key with a probability of 3%; then one of them counts for both.
    """
    digest = blake2b(f"{viewer_id}\0{video_id}\0{kind}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def no_changes() -> list[int]:
    """Views, likes, shares and points of a new sum."""
    return [0, 0, 0, 0]
