"""The composition root: one function wires everything, and tests call the same function with other parts."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from candidate_gen.index import one_thread
from core.clock import Clock, system_clock
from core.engine import Engine
from core.errors import Unavailable
from core.manifest import read_manifest
from core.query import Query
from core.settings import Settings
from core.stages import Surface
from features.definitions import schema_hash
from features.state import FeatureState
from feeds.boosts import RULES_FILE, RulesFile
from feeds.bundle import Bundle, load_bundle
from feeds.config import ForYouConfig
from feeds.explain import explain
from feeds.exploration.new_videos import new_videos
from feeds.exploration.source import NewVideoSource
from feeds.following import FollowingFeed
from feeds.for_you import ForYouFeed, settle
from feeds.hydrate import Patience, Readers, read_viewer
from feeds.intake import EventIntake, IntakeConfig
from feeds.page import Explanation, FeedPage
from feeds.replay import Replay, replay
from feeds.reranking import ActiveRules, PinnedSource
from feeds.sources import for_you_sources
from feeds.surfaces import for_you
from feeds.told_events import warm_up
from feeds.trending.boards import CountsSource
from feeds.trending.feed import TrendingFeed
from foryou.champion import ChampionFollower, champion_folder
from foryou.following import following_feed
from foryou.for_you import for_you_feed, seen_videos
from foryou.live import Live
from foryou.stores import Stores, open_stores
from foryou.trending import trending_feed
from serving.app import create_app
from serving.auth import DevKeys, Verifier
from serving.metrics import Metrics
from serving.ports import ServingParts

_log = logging.getLogger(__name__)

BOARD_REFRESH_MS = 15_000
_CONNECT_MS = 2_000
_NOBODY = "nobody"


def random_id() -> str:
    """A new id of 24 hex digits."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class Product:
    """A running product: the For-You port of serving, event intake, and what they stand on."""

    settings: Settings
    stores: Stores
    live: Live
    bundle: Bundle
    metrics: Metrics
    clock: Clock
    config: ForYouConfig
    new_id: Callable[[], str]
    engine: Engine
    readers: Readers = field(init=False)
    feed: ForYouFeed = field(init=False)
    following: FollowingFeed = field(init=False)
    trending: TrendingFeed = field(init=False)
    trends: CountsSource = field(init=False)
    intake: EventIntake = field(init=False)
    rules: RulesFile = field(init=False)
    shape: Callable[[Surface], Surface] = lambda surface: surface
    _surface: Surface | None = None
    _boards_at_ms: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def state(self) -> FeatureState:
        """Catalogue and counters in memory."""
        return self.live.state

    def surface(self) -> Surface:
        """The For-You surface, with boards that are at most BOARD_REFRESH_MS old."""
        now = self.clock()
        if self._surface is None or not 0 <= now - self._boards_at_ms < BOARD_REFRESH_MS:
            self.state.ensure()  # the catalogue may have grown since `refresh`
            self.bundle.extend(now)
            self._surface = self._surface_of(now)
            self._boards_at_ms = now
        return self._surface

    def _surface_of(self, now: int) -> Surface:
        state, config = self.state, self.config
        new, rules = new_videos(state, config, now), ActiveRules(self.rules.current(), state.table)
        sources = for_you_sources(self.bundle, state, config, now)
        sources = (*sources, NewVideoSource(new, config), PinnedSource(rules))
        return self.shape(for_you(sources, state.table, self.bundle, config, new, rules))

    def take(self, bundle: Bundle) -> None:
        """Serve another bundle from the next request on; its words are in the state."""
        self.bundle, self._surface = bundle, None
        self.surface()

    def reshape(self, shape: Callable[[Surface], Surface]) -> None:
        """Serve a part of the surface, or another one made from it, from the next request on."""
        self.shape, self._surface = shape, None

    async def page(self, viewer_id: str, *, page: int | None, limit: int, cursor: str | None, device: str) -> FeedPage:
        """One page of the For-You feed, after what other processes have put on the log."""
        await self.live.refresh()
        return await self.feed.page(viewer_id, page=page, limit=limit, cursor=cursor, device=device)

    async def explain(self, slate_id: str) -> Explanation | None:
        """How the slate came to be."""
        await self.settled()
        return await explain(self.stores.slates, slate_id, self.bundle, self.surface(), self.state.table)

    async def replay(self, slate_id: str) -> Replay:
        """Re-run a slate from its record."""
        await self.settled()
        table, parameters = self.state.table, self.config.parameter_hash
        return await replay(self.stores.slates, slate_id, self.bundle, self.surface(), table, parameters)

    def later(self, effect: Awaitable[None]) -> None:
        """Run a side effect after the response."""
        task = asyncio.ensure_future(effect)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        """An outage is counted when it happens; nobody waits for most of these tasks."""
        self._tasks.discard(task)
        if not task.cancelled() and isinstance(task.exception(), Unavailable):
            self.metrics.outage("side_effect")

    async def settled(self) -> None:
        """Wait for the side effects under way."""
        await settle(set(self._tasks), lambda stage: None)  # counted already

    def app(self) -> FastAPI:
        """The HTTP app."""
        keys = DevKeys.ensure(self.settings.keys)
        parts = ServingParts(
            feed=self,
            following=self.following,
            trending=self.trending,
            intake=self.intake,
            verifier=Verifier(keys.public_key, self.clock),
            ready=lambda: self.live.fault,
            settings=self.settings,
            clock=self.clock,
            metrics=self.metrics,
        )

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            await self.live.start()
            await self.trends.start()
            await _connect(self)
            champion = asyncio.ensure_future(ChampionFollower(self).run())
            yield
            champion.cancel()
            await self.settled()  # the last slates' details
            await self.trends.stop()
            await self.live.stop()

        return create_app(parts, lifespan)


async def open_product(
    settings: Settings,
    clock: Clock = system_clock,
    config: ForYouConfig | None = None,
    new_id: Callable[[], str] = random_id,
    stores: Stores | None = None,
) -> Product:
    """Open the stores, load the champion bundle and catch up with the log.

    Raises NotFound (nothing trained yet), SchemaMismatch, CorruptData or Unavailable.
    """
    one_thread()
    folder = champion_folder(settings.bundles)
    read_manifest(folder, schema_hash())
    given, stores = stores, stores or await _stores(settings, clock)
    try:
        live = await stores.follow(folder, clock)  # first: it may bring videos that the bundle's vectors must cover
        bundle = load_bundle(folder, live.state, clock())
        metrics = Metrics(CollectorRegistry())
        product = Product(
            settings, stores, live, bundle, metrics, clock, config or ForYouConfig(), new_id,
            Engine(on_outage=metrics.outage, on_stage=metrics.stage),
        )  # fmt: skip
        _wire(product)
        _warm_up(product)
    except BaseException:
        if given is None:
            await stores.let_go()
        raise
    return product


async def _stores(settings: Settings, clock: Clock) -> Stores:
    """The stores that the settings choose."""
    if settings.backends == "cluster":
        from foryou.cluster import open_cluster

        return (await open_cluster(settings, clock)).stores()
    return open_stores(settings.home)


def _warm_up(p: Product) -> None:
    """Run one request that is not recorded: the first viewer must not wait for a compiler."""
    query = Query(
        viewer_id="", surface="for_you", session_id="", now_ms=p.clock(), page=0, limit=20, seed=0,
        viewer_state=p.state.new_viewer(None),
    )  # fmt: skip
    Engine().execute(p.surface(), query)
    if p.stores.told is not None:
        warm_up(p.state)


async def _connect(p: Product) -> None:
    """Read a viewer who does not exist: the first one must not wait for connections and prepared statements.

    A store that does not answer in that time is left to the requests, which do without it.
    """
    readers = replace(p.readers, patience=Patience())
    late = (await read_viewer(readers, _NOBODY, 1, _CONNECT_MS)).degraded
    if late:
        _log.warning("Ready, though these did not answer within %d ms: %s", _CONNECT_MS, ", ".join(late))


def _wire(p: Product) -> None:
    stores, settings = p.stores, p.settings
    p.rules = RulesFile(settings.file(RULES_FILE))
    kept = stores.kept(p.clock)
    readers = Readers(
        stores.features,
        stores.history,
        stores.tables,
        stores.slates,
        stores.known,
        stores.users,
        seen=seen_videos(p, kept),
        told=stores.told,
        patience=Patience(turned=p.metrics.breaker),
    )
    p.readers = readers
    p.following = following_feed(p, readers)
    p.trends = stores.trends(p.clock)
    p.trending = trending_feed(p, readers)
    p.feed = for_you_feed(p, readers, kept)
    p.intake = EventIntake(
        stores.sink or stores.log,
        stores.slates,
        lambda video_id: _length(p.state, video_id),
        p.live.apply,
        p.clock,
        IntakeConfig(),
        _stamp_of(p),
        in_turn=stores.applies,
    )


def _stamp_of(p: Product) -> Callable[[str], Awaitable[tuple[str, int]]]:
    """What others need to know to apply a viewer's events: nothing where this process applies them itself."""

    async def stamp(viewer_id: str) -> tuple[str, int]:
        users = p.stores.users
        return ("", 0) if users is None else (await users.region(viewer_id), p.live.applied)

    return stamp


def _length(state: FeatureState, video_id: str) -> int | None:
    row = state.table.row(video_id)
    return int(state.table.length_ms[row]) if row >= 0 else None
