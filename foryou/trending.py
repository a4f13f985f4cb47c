"""Wires the Trending surface, and Trending as a rung of For-You's ladder."""

from functools import partial
from typing import TYPE_CHECKING

from core.arrays import Int32
from core.query import Query
from feeds.cursor import BoardPlaceSigner
from feeds.hydrate import Readers
from feeds.listed_slates import ListedSlates
from feeds.trending.board import BoardKey
from feeds.trending.boards import Boards
from feeds.trending.config import TrendingConfig
from feeds.trending.feed import TrendingFeed, TrendingParts
from feeds.views import Views
from foryou.keys import cursor_key

if TYPE_CHECKING:
    from foryou.bootstrap import Product


async def trending_rows(p: "Product", query: Query) -> Int32:
    """What many watch now where the viewer is, or anywhere where that is little, best first."""
    boards = p.trending.parts.boards
    near = await boards.get(BoardKey(region=query.region))
    far = await boards.get(BoardKey()) if len(near.board.video_ids) < query.limit else near
    return p.state.table.rows(tuple(dict.fromkeys((*near.board.video_ids, *far.board.video_ids))))


def trending_feed(p: "Product", readers: Readers) -> TrendingFeed:
    """Over the counts of the stores, with boards that the replicas share where they have a cache."""
    settings, table, config = p.settings, p.state.table, TrendingConfig()
    looked_up = partial(p.metrics.looked_up, "trending")
    return TrendingFeed(
        TrendingParts(
            boards=Boards(p.trends, table, p.stores.cache, p.clock, config, looked_up),
            readers=readers,
            views=Views(readers, p.stores.videos, p.state, settings.hydrate_deadline_ms),
            signer=BoardPlaceSigner(cursor_key(settings.keys), "trending"),
            refresh=lambda: p.live.refresh(),
            clock=p.clock,
            later=p.later,
            deadline_ms=settings.hydrate_deadline_ms,
            cursor_ttl_ms=settings.cursor_ttl_s * 1000,
            slates=ListedSlates("trending", readers.slates, p.new_id, p.clock),
        )
    )
