"""Wires the Following surface."""

from typing import TYPE_CHECKING

from feeds.cursor import TimePlaceSigner
from feeds.following import FollowingFeed, FollowingParts
from feeds.hydrate import Readers
from feeds.listed_slates import ListedSlates
from feeds.views import Views
from foryou.keys import cursor_key

if TYPE_CHECKING:
    from foryou.bootstrap import Product


def following_feed(p: "Product", readers: Readers) -> FollowingFeed:
    """Through inboxes where the stores have them, else from the catalogue alone."""
    settings, inbox = p.settings, p.stores.inbox
    return FollowingFeed(
        FollowingParts(
            readers=readers,
            views=Views(readers, p.stores.videos, p.state, settings.hydrate_deadline_ms),
            state=p.state,
            signer=TimePlaceSigner(cursor_key(settings.keys), "following"),
            refresh=lambda: p.live.refresh(),
            clock=p.clock,
            later=p.later,
            deadline_ms=settings.hydrate_deadline_ms,
            cursor_ttl_ms=settings.cursor_ttl_s * 1000,
            slates=ListedSlates("following", readers.slates, p.new_id, p.clock),
            inbox=inbox(p.later, p.metrics.following) if inbox is not None else None,
        )
    )
