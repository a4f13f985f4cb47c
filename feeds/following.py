"""The Following surface: the newest public videos of the authors whom a viewer follows, strictly by time."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from core.arrays import Int32
from core.catalogue import Relations
from core.clock import Clock
from features.state import FeatureState
from feeds.author_rows import AuthorRows, Place, author_codes
from feeds.cursor import TimePlace, TimePlaceSigner
from feeds.following_inbox import FollowingInbox
from feeds.hydrate import Readers, Standing, read_region, read_standing
from feeds.listed_slates import ListedSlates
from feeds.page import FollowingPage
from feeds.views import Views

SAFETY_UNKNOWN = "safety_unknown"


@dataclass(frozen=True, slots=True)
class FollowingParts:
    """What the use case is built from; `refresh` takes in what other processes have written."""

    readers: Readers
    views: Views
    state: FeatureState
    signer: TimePlaceSigner
    refresh: Callable[[], Awaitable[None]]
    clock: Clock
    later: Callable[[Awaitable[None]], None]
    deadline_ms: int
    cursor_ttl_ms: int
    inbox: FollowingInbox | None = None
    slates: ListedSlates | None = None


@dataclass(slots=True)
class FollowingFeed:
    """Pages of the Following surface."""

    parts: FollowingParts
    _rows: AuthorRows = field(init=False)

    def __post_init__(self) -> None:
        inbox = self.parts.inbox
        self._rows = inbox.rows if inbox is not None else AuthorRows(self.parts.state.table)

    async def page(self, viewer_id: str, *, page_size: int, cursor: str | None) -> FollowingPage:
        """What follows the cursor, or the newest. Whom the viewer follows and blocks counts as it is now, and so does
        what was removed or hidden: a page that is asked for again has what still stands. Raises CursorError."""
        p = self.parts
        given = p.signer.read(cursor, viewer_id, p.clock()) if cursor else None
        below = (given.upload_ms, given.video_id) if given is not None else None
        await p.refresh()
        standing = await self._standing(viewer_id)
        if standing.relations is None:
            degraded = (*standing.degraded, SAFETY_UNKNOWN)
            return FollowingPage(videos=[], next_cursor=None, has_more=False, degraded=degraded)
        region = await read_region(p.readers, viewer_id, p.deadline_ms) if p.state.table.blocks else ""
        rows = await self._newest(viewer_id, followed(standing.relations), page_size + 1, below, region)
        return await self._answer(viewer_id, rows, page_size, standing)

    async def _newest(
        self, viewer_id: str, authors: Sequence[str], limit: int, below: Place | None, region: str
    ) -> Int32:
        """The newest videos below a place of these authors: through the inbox, or from the catalogue alone."""
        p = self.parts
        if p.inbox is not None and authors:
            return await p.inbox.newest(viewer_id, authors, limit, below, region)
        return self._rows.newest(author_codes(p.state.table, authors), limit, below, region)

    async def _standing(self, viewer_id: str) -> Standing:
        readers = self.parts.readers
        standing = await read_standing(readers, viewer_id, self.parts.deadline_ms)
        if standing.news is not None and readers.known is not None:
            self.parts.later(readers.known.remember(viewer_id, standing.news))
        return standing

    async def _answer(self, viewer_id: str, rows: Int32, page_size: int, standing: Standing) -> FollowingPage:
        p, table = self.parts, self.parts.state.table
        more, rows = len(rows) > page_size, rows[:page_size]
        shown = await p.views.of([table.video_ids[row] for row in rows], standing.reactions)
        cursor = TimePlace(viewer_id, *self._rows.place(rows[-1]), p.clock() + p.cursor_ttl_ms) if more else None
        degraded = tuple(dict.fromkeys((*standing.degraded, *shown.left_out)))
        ids = [video.video_id for video in shown.videos]
        return FollowingPage(
            videos=shown.videos,
            next_cursor=p.signer.write(cursor) if cursor is not None else None,
            has_more=more,
            slate_id=await p.slates.record(viewer_id, ids, degraded) if p.slates is not None else "",
            degraded=degraded,
            made_up=shown.made_up,
        )


def followed(relations: Relations) -> list[str]:
    """The authors whose videos may be shown: followed, blocked in neither direction, not hidden."""
    banned = {*relations.blocked, *relations.blocked_by, *relations.hidden}
    return [author_id for author_id in relations.follows if author_id not in banned]
