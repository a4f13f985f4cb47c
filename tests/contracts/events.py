"""Small events and records for the contracts."""

from core.events import AnyEvent, Event, Impression, Like, VideoPublished, Watch
from core.ports import Record

DAY_MS = 1_650_000_000_000


def impression(number: int, viewer: str = "ann", video: str = "v1") -> Impression:
    """An impression at second `number` of the day."""
    return Impression(
        event_id=f"impression-{number}", viewer_id=viewer, video_id=video, time_ms=DAY_MS + 1_000 * number
    )


def watch(number: int, viewer: str = "ann", video: str = "v1") -> Watch:
    """A watch that ended at second `number` of the day."""
    return Watch(
        event_id=f"watch-{number}",
        viewer_id=viewer,
        video_id=video,
        time_ms=DAY_MS + 1_000 * number,
        play_ms=700,
        length_ms=1_000,
    )


def like(number: int, viewer: str = "ann", video: str = "v1") -> Like:
    """A like at second `number` of the day."""
    return Like(event_id=f"like-{number}", viewer_id=viewer, video_id=video, time_ms=DAY_MS + 1_000 * number)


def published(video: str, author: str = "bo", **fields: object) -> VideoPublished:
    """A video of 10 s."""
    facts: dict[str, object] = {"length_ms": 10_000, "upload_ms": DAY_MS, "topic": "cats", **fields}
    return VideoPublished(
        event_id=f"published-{video}", viewer_id=author, time_ms=DAY_MS, video_id=video, author_id=author, **facts
    )  # type: ignore[arg-type]


def records(*events: Event, start: int = 1) -> list[Record]:
    """The events as records of a log."""
    typed: list[AnyEvent] = list(events)  # type: ignore[arg-type]
    return [Record(start + index, event) for index, event in enumerate(typed)]
