"""One event as rows of the history's tables."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import msgspec

from core.catalogue import Reactions
from core.events import VIEWER_EVENTS, Event, Impression, Watch, kind_of
from core.history import DAY_MS, DISLIKED, HOUR_MS, LIKED, REACTIONS, SAVED, Reaction
from core.ports import Record

Row = tuple[str, tuple[Any, ...]]  # the table and its values

_EPOCH: Final = date(1970, 1, 1)
_BY_TIME: Final = {"user_interactions", "activity_logs", "activity_hours"}
_IN_COLUMNS: Final = ("kind", "event_id", "viewer_id", "video_id", "time_ms")
# As in the features: whoever saw this much of a video has seen it all.
_COMPLETED: Final = 0.95
_MOST_SECONDS: Final = 2**31 - 1  # of the column's type


def rows_of(record: Record) -> Iterator[Row]:
    """The rows of a viewer's event; none for other events and for one without a viewer."""
    event = record.event
    if not isinstance(event, VIEWER_EVENTS) or not event.viewer_id:
        return
    viewer, time_ms, kind = event.viewer_id, event.time_ms, kind_of(event)
    video = getattr(event, "video_id", "")
    month = _month(time_ms // DAY_MS)
    yield "user_interactions", (viewer, month, time_ms, kind, video, event.event_id, _metadata(event))
    yield "interaction_months", (viewer, month)
    hour = time_ms % DAY_MS // HOUR_MS
    yield "activity_logs", (viewer, date_of(time_ms // DAY_MS), hour, kind, event.event_id)
    if isinstance(event, Impression | Watch):
        yield "seen", (viewer, time_ms, video)
    if isinstance(event, Watch):
        completed = event.play_ms >= _COMPLETED * event.length_ms
        yield "watch_history", (viewer, time_ms, video, min(event.play_ms // 1_000, _MOST_SECONDS), completed)
    elif isinstance(event, Reaction):
        reaction, stands = REACTIONS[type(event)]
        yield "reactions", (viewer, reaction, video, 2 * record.offset + stands, 1_000 * time_ms)


def partition_of(table: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The partition of a row: its viewer, for some tables with the month or the day."""
    return values[:2] if table in _BY_TIME else values[:1]


def standing(words: list[tuple[str, str, int]]) -> Reactions:
    """The likes, saves and dislikes that stand, of rows (reaction, video, word)."""
    return Reactions(
        liked=frozenset(video for reaction, video, word in words if reaction == LIKED and word & 1),
        saved=frozenset(video for reaction, video, word in words if reaction == SAVED and word & 1),
        disliked=frozenset(video for reaction, video, word in words if reaction == DISLIKED and word & 1),
    )


@lru_cache(maxsize=1_024)
def date_of(day: int) -> date:
    """The date of a day since 1970."""
    return _EPOCH + timedelta(days=day)


@lru_cache(maxsize=1_024)
def _month(day: int) -> str:
    return f"{datetime.fromtimestamp(day * DAY_MS / 1000, UTC):%Y-%m}"


def _metadata(event: Event) -> str:
    fields = msgspec.to_builtins(event)
    for name in _IN_COLUMNS:
        fields.pop(name, None)
    return msgspec.json.encode(fields).decode()
