"""The product as a policy of the synthetic world: the whole feed path, with events flowing back.

It sees public columns and events only; the clock is the world's.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from core.catalogue import ViewerRecord
from core.events import (
    AnyEvent,
    Comment,
    Follow,
    HideAuthor,
    Impression,
    Like,
    NotInterested,
    Report,
    Save,
    Share,
    VideoPublished,
    Watch,
)
from core.ports import Record
from foryou.bootstrap import Product
from foryou.world_learner import Learner
from simulation.public import PublicUser, PublicVideo, WideRow

T = TypeVar("T")
_VIDEO_ACTIONS: dict[str, type[Any]] = {
    "like": Like,
    "comment": Comment,
    "share": Share,
    "save": Save,
    "not_interested": NotInterested,
    "report": Report,
}
_AUTHOR_ACTIONS: dict[str, type[Any]] = {"follow": Follow, "hide_author": HideAuthor}


class WorldClock:
    """The world's time, Unix ms, set before every call."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """Now."""
        return self.now_ms


class ProductPolicy:
    """Implements simulation.public.Policy with a running product; with a learner its models learn on each midnight."""

    def __init__(
        self, product: Product, clock: WorldClock, loop: asyncio.AbstractEventLoop, learner: Learner | None = None
    ) -> None:
        self._product, self._clock, self._loop, self._learner = product, clock, loop, learner

    def page(self, viewer_id: str, now_ms: int, limit: int) -> list[str]:
        """The next page of the viewer's session."""
        self._clock.now_ms = now_ms
        feed = self._product.feed
        answer = self._run(feed.page(viewer_id, page=None, limit=limit, cursor=None, device=""))
        self._run(self._product.settled())
        return [view.video_id for view in answer.videos]

    def feedback(self, viewer_id: str, rows: list[WideRow]) -> None:
        """Put what happened on the log and apply it."""
        events = [event for row in rows for event in events_of(row, self._author(row.video_id))]
        self._append(sorted(events, key=lambda event: event.time_ms))

    def arrivals(self, users: list[PublicUser], videos: list[PublicVideo]) -> None:
        """New users into the tables, new videos onto the log."""
        if users:
            self._run(self._product.stores.tables.put_users([viewer_record(user) for user in users]))
        if videos:
            self._append([published(video) for video in videos])

    def end_of_day(self, day: int) -> None:
        """Boards and vectors follow on their own; models where there is a learner."""
        if self._learner is not None:
            self._product = self._run(self._learner.after_day(self._product, day, self._clock.now_ms))

    def _append(self, events: list[AnyEvent]) -> None:
        placed = self._run(self._product.stores.log.append(events))
        records = [Record(a.offset, e) for a, e in zip(placed, events, strict=True) if not a.duplicate]
        self._run(self._product.live.apply(records))

    def _author(self, video_id: str) -> str:
        table = self._product.state.table
        return str(table.authors.words[table.author[table.row(video_id)]])

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


def events_of(row: WideRow, author_id: str) -> Iterator[AnyEvent]:
    """A wide row as events: impression, watch, then what the viewer did, a millisecond after the watch."""
    common: dict[str, Any] = {"viewer_id": row.viewer_id, "video_id": row.video_id, "ingested_ms": row.ingested_ms}
    yield Impression(
        event_id=row.event_id, time_ms=row.time_ms, position=row.position, session_id=row.session_id,
        propensity=row.propensity, **common,
    )  # fmt: skip
    yield Watch(
        event_id=f"{row.event_id}.watch", time_ms=row.watch_end_ms, play_ms=row.play_ms, length_ms=row.length_ms,
        **common,
    )  # fmt: skip
    at = row.watch_end_ms + 1
    for name, event in _VIDEO_ACTIONS.items():
        if getattr(row, name):
            yield event(event_id=f"{row.event_id}.{name}", time_ms=at, **common)
    for name, event in _AUTHOR_ACTIONS.items():
        if getattr(row, name):
            yield event(event_id=f"{row.event_id}.{name}", time_ms=at, author_id=author_id, **common)


def viewer_record(user: PublicUser) -> ViewerRecord:
    """A new user's public profile."""
    return ViewerRecord(
        user_id=user.viewer_id,
        region=user.region,
        language=user.language,
        device=user.device,
        age_band=user.age_band,
        signup_ms=user.signup_ms,
        chosen_topics=tuple(user.chosen_topics),
        traits=tuple(f"languages={word}" for word in user.languages),
    )


def published(video: PublicVideo) -> VideoPublished:
    """A new video's public columns."""
    return VideoPublished(
        event_id=f"{video.video_id}.published",
        viewer_id=video.author_id,
        time_ms=video.upload_ms,
        ingested_ms=video.upload_ms,
        video_id=video.video_id,
        author_id=video.author_id,
        length_ms=video.length_ms,
        upload_ms=video.upload_ms,
        topic=video.topic,
        language=video.language,
        region=video.region,
        thumbnail_cluster=str(video.thumbnail_cluster),
        content_embedding=tuple(video.content_embedding),
    )
