"""The Trending surface: pages of a board, each video asked of the visibility rule when it leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from core.catalogue import Reactions, Relations
from core.clock import Clock
from core.errors import CursorError
from feeds.cursor import BoardPlace, BoardPlaceSigner
from feeds.hydrate import Readers, Standing, read_region, read_standing
from feeds.listed_slates import ListedSlates
from feeds.page import TrendingPage, TrendingVideo
from feeds.trending.board import Board, BoardKey
from feeds.trending.boards import Boards, MadeBoard
from feeds.views import Views
from feeds.visibility import visible

SAFETY_UNKNOWN: Final = "safety_unknown"
COUNTS: Final = "trending_counts"
_ANYBODY: Final = Standing(Reactions(), Relations(), (), None)


@dataclass(frozen=True, slots=True)
class TrendingParts:
    """What the use case is built from; `refresh` takes in what other processes have written."""

    boards: Boards
    readers: Readers
    views: Views
    signer: BoardPlaceSigner
    refresh: Callable[[], Awaitable[None]]
    clock: Clock
    later: Callable[[Awaitable[None]], None]
    deadline_ms: int
    cursor_ttl_ms: int
    slates: ListedSlates | None = None


@dataclass(frozen=True, slots=True)
class TrendingFeed:
    """Pages of the Trending surface; a viewer_id of "" is anybody, who has blocked nobody."""

    parts: TrendingParts

    async def page(
        self, viewer_id: str, key: BoardKey, *, page: int | None, limit: int, cursor: str | None
    ) -> TrendingPage:
        """A page of the board by number, or what follows the cursor in the board that it was given for.

        Raises CursorError, also where the cursor belongs to another board.
        """
        p = self.parts
        given = p.signer.read(cursor, viewer_id, p.clock()) if cursor else None
        if given is not None and given.board != _words(key):
            raise CursorError("The cursor belongs to another board; send it with the parameters that it was given for.")
        await p.refresh()
        standing, made = await asyncio.gather(
            self._standing(viewer_id), p.boards.get(key, given.now_ms if given is not None else None)
        )
        if standing.relations is None:
            degraded = (*standing.degraded, SAFETY_UNKNOWN)
            return TrendingPage(videos=[], next_cursor=None, next_page=None, has_more=False, as_of=0, degraded=degraded)
        table = p.views.state.table
        region = await self._region(viewer_id) if table.blocks else ""
        places = visible(table, standing.relations, region, made.board.video_ids)
        if given is not None:
            places = [place for place in places if place > given.place]
        start = 0 if page is None else page * limit
        number = None if given is not None else (page or 0) + 1
        chosen, rest = places[start : start + limit], places[start + limit :]
        return await self._answer(viewer_id, key, made, chosen, number, bool(rest), standing)

    async def _standing(self, viewer_id: str) -> Standing:
        if not viewer_id:
            return _ANYBODY
        readers = self.parts.readers
        standing = await read_standing(readers, viewer_id, self.parts.deadline_ms)
        if standing.news is not None and readers.known is not None:
            self.parts.later(readers.known.remember(viewer_id, standing.news))
        return standing

    async def _region(self, viewer_id: str) -> str:
        return await read_region(self.parts.readers, viewer_id, self.parts.deadline_ms) if viewer_id else ""

    async def _answer(
        self, viewer_id: str, key: BoardKey, made: MadeBoard, places: list[int], number: int | None, more: bool,
        standing: Standing,
    ) -> TrendingPage:  # fmt: skip
        p, board = self.parts, made.board
        shown = await p.views.of([board.video_ids[place] for place in places], standing.reactions)
        scores = dict(zip(board.video_ids, board.scores, strict=True))
        late = () if made.whole else (COUNTS,)
        degraded = tuple(dict.fromkeys((*standing.degraded, *late, *shown.left_out)))
        ids = [view.video_id for view in shown.videos]
        return TrendingPage(
            videos=[_scored(view, scores[view.video_id]) for view in shown.videos],
            next_cursor=self._cursor(viewer_id, key, board, places[-1]) if more else None,
            next_page=number if more else None,
            has_more=more,
            as_of=board.now_ms,
            slate_id=await p.slates.record(viewer_id, ids, degraded) if p.slates is not None else "",
            degraded=degraded,
            made_up=shown.made_up,
        )

    def _cursor(self, viewer_id: str, key: BoardKey, board: Board, place: int) -> str:
        p = self.parts
        expires_ms = p.clock() + p.cursor_ttl_ms
        return p.signer.write(BoardPlace(viewer_id, _words(key), board.now_ms, place, expires_ms))


def _words(key: BoardKey) -> tuple[str, str, str, str]:
    return key.mode, key.time_range, key.region, key.category


def _scored(view: msgspec.Struct, score: int) -> TrendingVideo:
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return TrendingVideo(**fields, trending_score=score)
