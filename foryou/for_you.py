"""The For-You feed of a product, and the caches that stand before its stores."""

from functools import partial
from typing import TYPE_CHECKING

from core.engine import Engine
from core.ports import Bytes
from feeds.cached_videos import CachedVideos
from feeds.cursor import CursorSigner
from feeds.for_you import ForYouFeed, ForYouParts
from feeds.hydrate import Readers
from feeds.ladder import Rung
from feeds.ranked_remainder import RemainderConfig, Remainders
from feeds.seen_videos import SeenConfig, SeenVideos
from foryou.keys import cursor_key
from foryou.trending import trending_rows

if TYPE_CHECKING:
    from foryou.bootstrap import Product


def seen_videos(p: "Product", kept: Bytes) -> SeenVideos:
    """What viewers have seen, with filters in the cache."""
    looked_up = partial(p.metrics.looked_up, "seen")
    deadline_ms = p.settings.hydrate_deadline_ms // 3
    seen = SeenVideos(p.stores.history, kept, p.state.table, p.clock, SeenConfig(), p.later, looked_up, deadline_ms)
    seen.hash_catalogue()
    return seen


def for_you_feed(p: "Product", readers: Readers, kept: Bytes) -> ForYouFeed:
    """The feed over these readers."""
    stores, settings, remainders = p.stores, p.settings, _remainders(p, kept)
    looked_up = partial(p.metrics.looked_up, "video")
    return ForYouFeed(
        ForYouParts(
            readers=readers,
            videos=CachedVideos(stores.videos, stores.own(p.clock), p.state.table, looked_up),
            state=p.state,
            surface=p.surface,
            bundle_id=lambda: p.bundle.manifest.bundle_id,
            applied_offset=lambda: p.live.applied,
            engine=p.engine,
            signer=CursorSigner(cursor_key(settings.keys)),
            config=p.config,
            settings=settings,
            clock=p.clock,
            new_id=p.new_id,
            later=p.later,
            turns=stores.turns(settings.hydrate_deadline_ms),
            rungs=[Rung("cached", remainders.rows), Rung("trending", partial(trending_rows, p))],
            answered=p.metrics.rung,
            failed=p.metrics.rung_failed,
            drawn=p.metrics.drawn,
            remainders=remainders,
            active=stores.watching,
        )
    )


def _remainders(p: "Product", kept: Bytes) -> Remainders:
    """What ranked behind pages, good under this bundle and these parameters."""

    def versions() -> tuple[str, str]:
        return p.bundle.manifest.bundle_id, p.config.parameter_hash

    looked_up = partial(p.metrics.looked_up, "foryou")
    engine, deadline_ms = Engine(on_outage=p.metrics.outage), p.settings.hydrate_deadline_ms // 3
    return Remainders(kept, engine, versions, RemainderConfig(), looked_up, deadline_ms)
