"""What the composition root gives to the HTTP edge."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from core.clock import Clock
from core.settings import Settings
from feeds.intake import EventIntake
from feeds.page import Explanation, FeedPage, FollowingPage, TrendingPage
from feeds.trending.board import BoardKey
from serving.auth import Verifier
from serving.metrics import Metrics


class ForYouPort(Protocol):
    """The For-You surface as use cases; runs in the event loop, so it must not block on input or output."""

    async def page(self, viewer_id: str, *, page: int | None, limit: int, cursor: str | None, device: str) -> FeedPage:
        """The page, recorded before it is returned; CursorError for a bad cursor."""
        ...

    async def explain(self, slate_id: str) -> Explanation | None:
        """How the slate came to be, None when unknown."""
        ...


class FollowingPort(Protocol):
    """The Following surface as a use case."""

    async def page(self, viewer_id: str, *, page_size: int, cursor: str | None) -> FollowingPage:
        """What follows the cursor, or the newest; CursorError for a bad cursor."""
        ...


class TrendingPort(Protocol):
    """The Trending surface as a use case."""

    async def page(
        self, viewer_id: str, key: BoardKey, *, page: int | None, limit: int, cursor: str | None
    ) -> TrendingPage:
        """A page of a board for a viewer, "" for anybody; CursorError for a bad cursor."""
        ...


@dataclass(frozen=True, slots=True)
class ServingParts:
    """Everything that the app needs; `ready` gives "" or the reason why not yet."""

    feed: ForYouPort
    following: FollowingPort
    trending: TrendingPort
    intake: EventIntake
    verifier: Verifier
    ready: Callable[[], str]
    settings: Settings
    clock: Clock
    metrics: Metrics
