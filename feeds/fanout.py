"""Hybrid fan-out: each new video goes to the inboxes of those whom its author's tier names.

Authors of few followers push to all of them, of more to the active ones, of many to nobody: readers pull theirs. The
ledger says which authors are not pushed to everyone, before the first video is not; it takes an author back only after
their newest videos have been pushed. So a reader who pulls whom the ledger names never misses a video, and one that
comes both ways is one video to them.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import Unavailable
from core.fanout import ACTIVE, PULL, PUSH, FanoutLedger, Inboxes, Tier
from core.social import Followers
from core.topics import FeedUpdate
from core.video_table import PUBLIC, VideoTable
from feeds.active_users import ActiveUsers
from feeds.author_rows import AuthorRows

_log = logging.getLogger(__name__)
_AT_ONCE: Final = 4  # authors
_SAY_EVERY_S: Final = 60.0
_SAID: Final = ("videos", "followers", "inboxes", "raised", "lowered")
TIERS: Final = {PUSH: "push", ACTIVE: "active", PULL: "pull"}


class FanoutConfig(BaseModel):
    """Who is pushed to, and what an inbox holds."""

    model_config = ConfigDict(frozen=True)

    push_below: int = Field(1_000, ge=0, description="authors with fewer followers push to all of them")
    active_up_to: int = Field(10_000, ge=0, description="authors with at most so many push to their active followers")
    inbox_videos: int = Field(100, ge=1, description="videos that an inbox keeps")
    idle_ms: int = Field(1_800_000, ge=1, description="life of an inbox after it was last read, milliseconds")
    most_age_ms: int = Field(86_400_000, ge=1, description="age at which an inbox is built anew, milliseconds")

    @model_validator(mode="after")
    def _in_order(self) -> "FanoutConfig":
        if self.active_up_to + 1 < self.push_below:
            raise ValueError("active_up_to must not be below push_below")
        return self

    def tier(self, followers: int) -> int:
        """The tier of an author with so many followers."""
        if followers < self.push_below:
            return PUSH
        return ACTIVE if followers <= self.active_up_to else PULL


class Catalogue(Protocol):
    """The catalogue as this process follows it."""

    table: VideoTable

    @property
    def watermarks(self) -> Mapping[int, int]:
        """How far it includes each partition of video.processed."""
        ...

    async def advance(self, at_least: int = 0) -> int:
        """Follow to what there is now."""
        ...


def includes(catalogue: Catalogue, begun: Mapping[int, int]) -> bool:
    """Whether the catalogue has all that was begun."""
    reached = catalogue.watermarks
    return all(reached.get(partition, 0) >= offset for partition, offset in begun.items())


@dataclass(slots=True)
class TierMetrics:
    """What was done for the authors of one tier."""

    videos: int = 0
    followers: int = 0
    inboxes: int = 0
    raised: int = 0
    lowered: int = 0


@dataclass(slots=True)
class Fanout:
    """Delivers videos; `emit` tells others who got which."""

    config: FanoutConfig
    catalogue: Catalogue
    followers: Followers
    inboxes: Inboxes
    ledger: FanoutLedger
    active: ActiveUsers
    emit: Callable[[Sequence[FeedUpdate]], Awaitable[None]]
    metrics: dict[str, TierMetrics] = field(default_factory=lambda: {name: TierMetrics() for name in TIERS.values()})
    _rows: AuthorRows | None = None
    _said: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _say_s: float = 0.0

    async def deliver(self, partition: int, first: int, last: int, changed: Mapping[str, int]) -> None:
        """Push what the messages first..last changed: video ids with the offset of the last message that did.

        May be repeated. Raises Unavailable, also while the catalogue is not there yet.
        """
        await self.ledger.begin(partition, first, last, max(changed.values(), default=0))
        needed = {partition: max(changed.values(), default=0)}
        if not includes(self.catalogue, needed):
            await self.catalogue.advance()
        if not includes(self.catalogue, needed):
            raise Unavailable("The catalogue does not have yet what is to be pushed; it is tried again.")
        rows_of = self._by_author(changed)
        authors = list(rows_of)
        held = (await self.ledger.rules(authors)).tiers if authors else []
        counts = await self.followers.counts(authors) if authors else []
        # Whom nobody follows there is nobody to push to, and nobody to tell.
        due = [one for one in zip(authors, held, counts, strict=True) if one[2] > 0 or one[1].tier > PUSH]
        for start in range(0, len(due), _AT_ONCE):
            some = due[start : start + _AT_ONCE]
            await asyncio.gather(*(self._author(author, rows_of[author], tier, count) for author, tier, count in some))

    def say(self) -> None:
        """Log what was done for each tier, once a minute where there is news."""
        now_s = time.monotonic()
        done = {name: tuple(getattr(tier, field) for field in _SAID) for name, tier in self.metrics.items()}
        if done != self._said and now_s >= self._say_s:
            self._said, self._say_s = done, now_s + _SAY_EVERY_S
            for name, counts in done.items():
                told = ", ".join(f"{count:,} {word}" for word, count in zip(_SAID, counts, strict=True))
                _log.info("Fan-out, tier %s: %s", name, told)

    def _by_author(self, video_ids: Mapping[str, int]) -> dict[str, list[int]]:
        table = self.catalogue.table
        grouped: dict[str, list[int]] = {}
        for row in table.rows(list(video_ids)).tolist():
            if row >= 0:
                grouped.setdefault(table.authors.words[table.author[row]], []).append(row)
        return grouped

    async def _author(self, author_id: str, rows: Sequence[int], held: Tier, followers: int) -> None:
        table = self.catalogue.table
        shown = [row for row in rows if table.visibility[row] == PUBLIC]
        gone = [row for row in rows if table.visibility[row] != PUBLIC]
        wanted = self.config.tier(followers)
        if wanted < held.tier and not await self._lower(author_id, held, wanted):
            wanted = held.tier
        if wanted > PUSH:
            tier = await self.ledger.unpushed(author_id, wanted)
            self.metrics[TIERS[tier]].raised += tier > held.tier
            wanted = tier
        recipients = await self._recipients(author_id, wanted)
        self.metrics[TIERS[wanted]].videos += len(shown)
        self.metrics[TIERS[wanted]].followers += len(recipients)
        self.metrics[TIERS[wanted]].inboxes += await self._push(author_id, recipients, shown, gone)

    async def _lower(self, author_id: str, held: Tier, wanted: int) -> bool:
        """Push an author's newest videos to whom a lower tier names, and let it hold.

        What other workers did not push must be in our catalogue by now, else it is for a later video to do.
        """
        if not includes(self.catalogue, await self.ledger.begun()):
            return False
        code = self.catalogue.table.authors.code(author_id)
        if self._rows is None or self._rows.table is not self.catalogue.table:
            self._rows = AuthorRows(self.catalogue.table)
        newest = self._rows.newest(np.asarray([code], np.int32), self.config.inbox_videos)
        videos = {video_id: upload_ms for upload_ms, video_id in map(self._rows.place, newest.tolist())}
        await self.inboxes.push(await self._recipients(author_id, wanted), videos, self.config.inbox_videos)
        lowered = await self.ledger.lower(author_id, held.word, wanted)
        self.metrics[TIERS[wanted]].lowered += lowered
        return lowered

    async def _recipients(self, author_id: str, tier: int) -> list[str]:
        """The followers whom a tier pushes to."""
        if tier == PULL:
            return []
        followers = await self.followers.followers(author_id)
        if tier == PUSH:
            return followers
        active = await self.active.among(followers)
        return [follower for follower, is_active in zip(followers, active, strict=True) if is_active]

    async def _push(self, author_id: str, recipients: Sequence[str], shown: Sequence[int], gone: Sequence[int]) -> int:
        """Put videos into inboxes and tell of them, and of those that must not be shown any more; how many inboxes."""
        if not recipients:
            return 0
        table, most = self.catalogue.table, self.config.inbox_videos
        times = {table.video_ids[row]: int(table.upload_ms[row]) for row in (*shown, *gone)}
        videos = {video_id: times[video_id] for video_id in (table.video_ids[row] for row in shown)}
        held = await self.inboxes.push(recipients, videos, most)
        updates = [
            FeedUpdate(
                recipient_id=viewer,
                video_id=video_id,
                author_id=author_id,
                time_ms=at_ms,
                removed=video_id not in videos,
            )
            for viewer in held
            for video_id, at_ms in times.items()
        ]
        if updates:
            await self.emit(updates)
        return len(held)
