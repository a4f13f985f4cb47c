"""What a viewer did, as the history keeps it: single interactions, and how many of each kind in each hour (UTC)."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from core.errors import InputError
from core.events import Like, NotInterested, Report, Save, Unlike, Unsave
from core.ports import Record

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
MOST_DAYS: Final = 400

Reaction = Like | Unlike | Save | Unsave | NotInterested | Report
LIKED: Final = "like"
SAVED: Final = "save"
DISLIKED: Final = "dislike"
REACTIONS: Final[Mapping[type[Reaction], tuple[str, int]]] = {
    Like: (LIKED, 1),
    Unlike: (LIKED, 0),
    Save: (SAVED, 1),
    Unsave: (SAVED, 0),
    NotInterested: (DISLIKED, 1),
    Report: (DISLIKED, 1),
}
"""What a history keeps of such an event: the reaction, and whether it stands."""


class Interaction(NamedTuple):
    """One stored event of a viewer; in the order of these fields."""

    time_ms: int
    kind: str
    video_id: str  # "" for one that is about no video
    event_id: str


class ActivityHour(NamedTuple):
    """How many events of a kind a viewer had in the hour that began at `hour_ms`; in the order of these fields."""

    hour_ms: int
    kind: str
    events: int


class Interactions(Protocol):
    """Every event of each viewer, and how active they were in each hour; events may come as in a HistoryStore."""

    async def record(self, records: Sequence[Record]) -> None:
        """Keep viewer events, each (viewer, time, kind, video, event id) once."""
        ...

    async def interactions(self, viewer_id: str) -> list[Interaction]:
        """Everything that is kept of a viewer, oldest first."""
        ...

    async def activity(self, viewer_id: str, from_ms: int, until_ms: int) -> list[ActivityHour]:
        """The hours with events that began in [from_ms, until_ms), at most 400 days; InputError for more."""
        ...

    async def compact(self, closed_ms: int) -> int:
        """Sum up the hours that ended by `closed_ms`, for which no new event can come; how many viewer days changed."""
        ...


def days_of(from_ms: int, until_ms: int) -> list[int]:
    """The days (UTC, since 1970) that an interval touches; InputError for more than 400."""
    days = range(from_ms // DAY_MS, -(-until_ms // DAY_MS))
    if len(days) > MOST_DAYS:
        raise InputError(f"The interval has {len(days)} days; ask for at most {MOST_DAYS} at a time.")
    return list(days)
