"""The For-You use case: hydrate, run the surface, record the slate, answer."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from core.arrays import Array, Int32
from core.catalogue import Relations
from core.clock import Clock
from core.engine import Engine, Ranked
from core.errors import Unavailable
from core.ports import VideoStore
from core.query import Query
from core.settings import Settings
from core.slate import Slate
from core.stages import Surface
from features.state import FeatureState
from feeds.config import ForYouConfig
from feeds.cursor import Cursor, CursorSigner
from feeds.details import detail_of
from feeds.hydrate import Readers, ViewerFacts, read_viewer
from feeds.ladder import FULL, Ladder, Rung
from feeds.page import FeedPage
from feeds.ranked_ahead import Watching
from feeds.ranked_remainder import Remainders, Signals, Tapped, signals_of
from feeds.seen_again import AGAIN, again, seen_longest_ago
from feeds.seen_videos import SeenConfig
from feeds.session import Session, current
from feeds.told_events import counted
from feeds.turns import OwnTurns, Turns
from feeds.unwatched import said
from feeds.views import Views
from feeds.visibility import visible

_PRELOAD_AT: Final = 15 / 20  # the spec's "preload next batch: when the user reaches video 15", of 20


@dataclass(frozen=True, slots=True)
class ForYouParts:
    """What the use case is built from; `surface` and `bundle_id` are asked for on every request."""

    readers: Readers
    videos: VideoStore
    state: FeatureState
    surface: Callable[[], Surface]
    bundle_id: Callable[[], str]
    applied_offset: Callable[[], int]
    engine: Engine
    signer: CursorSigner
    config: ForYouConfig
    settings: Settings
    clock: Clock
    new_id: Callable[[], str]
    later: Callable[[Awaitable[None]], None]
    turns: Turns = field(default_factory=OwnTurns)
    seen_again_ms: int = SeenConfig().again_ms
    rungs: Sequence[Rung] = ()
    answered: Callable[[str], None] = lambda rung: None
    failed: Callable[[str], None] = lambda rung: None
    drawn: Callable[[str, int], None] = lambda policy, places: None
    remainders: Remainders | None = None
    active: Watching | None = None


class ForYouFeed:
    """Pages of the For-You surface."""

    def __init__(self, parts: ForYouParts) -> None:
        self._p = parts
        self._ladder = Ladder(
            parts.engine,
            parts.rungs,
            parts.settings.request_deadline_ms * 1_000_000,
            answered=parts.answered,
            failed=parts.failed,
        )
        self._views = Views(parts.readers, parts.videos, parts.state, parts.settings.hydrate_deadline_ms)

    async def page(self, viewer_id: str, *, page: int | None, limit: int, cursor: str | None, device: str) -> FeedPage:
        """The page, recorded before it is returned; docs/for_you.md has the rules.

        Neither page nor cursor: the next page of the session. A page or cursor that was served before: the same slate
        again, less what must not be shown by now. Raises CursorError.
        """
        p, now, begun_ns = self._p, self._p.clock(), self._p.engine.now_ns()
        given = p.signer.read(cursor, viewer_id, now) if cursor else None
        async with p.turns.of(viewer_id):
            facts = await self._facts(viewer_id)
            session = self._session(facts, now, given.session_id if given is not None else "")
            if facts.relations is None:
                return self._unsafe(viewer_id, facts)
            # Only we write cursors: theirs is the next page even where the slates before it were lost.
            number = given.page if given is not None else session.numbered(page)
            slate = session.pages.get(number)
            if slate is None:
                query = self._query(viewer_id, session, number, limit, facts, device, now)
                slate = await self._fresh(query, facts, begun_ns)
        return await self._answer(slate, self._standing(slate.video_ids, facts.relations, facts.region), facts, limit)

    def _session(self, facts: ViewerFacts, now: int, continued: str) -> Session:
        p = self._p
        idle_ms, stays_ms = p.settings.cursor_ttl_s * 1000, p.config.never_again_ms
        return current(facts.slates, now, idle_ms, stays_ms, p.new_id(), continued)

    async def _facts(self, viewer_id: str) -> ViewerFacts:
        p = self._p
        facts = await read_viewer(p.readers, viewer_id, p.config.session_pages, p.settings.hydrate_deadline_ms)
        if facts.news is not None and p.readers.known is not None:
            p.later(p.readers.known.remember(viewer_id, facts.news))
        return facts

    async def _fresh(self, query: Query, facts: ViewerFacts, begun_ns: int) -> Slate:
        """Cut a page from what ranked behind an earlier one; else run the surface, or what stands below it."""
        p, surface, signals = self._p, self._p.surface(), self._signals(query, facts)
        cut = await p.remainders.cut(query, surface, signals) if p.remainders is not None else None
        if cut is not None:
            p.answered(FULL)
            return await self._recorded(query, surface, cut[0], facts, cut[1])
        tapped = Tapped.of(surface)
        asked, chosen, ranked = await self._ladder.page(
            query, tapped.surface, begun_ns, lambda: [p.state.table.rows(slate.video_ids) for slate in facts.slates]
        )
        if chosen is not tapped.surface:
            return await self._recorded(asked, chosen, ranked, facts, scored=False)
        if not len(ranked.batch):
            asked, chosen = await self._again(query, surface, facts)
            ranked = p.engine.execute(chosen, asked)
        elif p.remainders is not None:
            p.later(p.remainders.keep(query, tapped, ranked.batch.rows, signals))
        return await self._recorded(asked, chosen, ranked, facts)

    async def _recorded(
        self,
        query: Query,
        surface: Surface,
        ranked: Ranked,
        facts: ViewerFacts,
        who: Array | None = None,
        scored: bool = True,
    ) -> Slate:
        """The slate of what was chosen, durable; what explains it follows, where it was scored."""
        slate = self._slate(query, surface, ranked, facts)
        await self._p.readers.slates.append(slate)
        if slate.policy:
            self._p.drawn(slate.policy, len(slate.drawn))
        if self._p.active is not None:
            self._p.later(self._p.active.note(query.viewer_id))
        if scored:
            self._p.later(self._p.readers.slates.detail(detail_of(slate, query, ranked, who)))
        return slate

    def _signals(self, query: Query, facts: ViewerFacts) -> Signals:
        assert facts.relations is not None
        return signals_of(query, facts.relations, facts.reactions)

    async def _again(self, query: Query, surface: Surface, facts: ViewerFacts) -> tuple[Query, Surface]:
        """What is left where everything has been seen: of that, what was seen longest ago."""
        try:
            ids = await seen_longest_ago(self._p.readers.history, query.viewer_id, facts.reactions)
        except Unavailable:
            ids = []
        return again(query, surface, self._p.state.table.rows(ids))

    async def prepare(self, viewer_id: str, limit: int = 20) -> bool:
        """Rank ahead what the next pages of a session that goes on are cut from, where that is not at hand; whether
        that was done. Raises Unavailable."""
        p, now = self._p, self._p.clock()
        facts = await self._facts(viewer_id)
        session = self._session(facts, now, "")
        if p.remainders is None or facts.relations is None or not session.pages:
            return False
        query = replace(self._query(viewer_id, session, session.next_page, limit, facts, "", now), keep_full=False)
        signals, tapped = self._signals(query, facts), Tapped.of(p.surface())
        if await p.remainders.stands(query, signals):
            return False
        p.engine.execute(tapped.surface, query)
        await p.remainders.keep(query, tapped, np.zeros(0, np.int32), signals)
        return True

    def _query(
        self, viewer_id: str, session: Session, number: int, limit: int, facts: ViewerFacts, device: str, now: int
    ) -> Query:
        p, table, relations, reactions = self._p, self._p.state.table, facts.relations, facts.reactions
        assert relations is not None
        record = facts.record if facts.record is not None else p.state.new_viewer(None)
        if facts.profile is not None:
            p.state.set_profile(record, facts.profile)
        record = counted(record, facts.told, p.state, now, p.applied_offset())
        seen = (facts.seen.rows, self._rows(facts.seen.recent), self._watched(record, now))
        seed = session.seed(number)
        share = p.settings.full_slate_share
        profile = facts.profile
        return Query(
            viewer_id=viewer_id,
            surface="for_you",
            session_id=session.session_id,
            now_ms=now,
            page=number,
            limit=limit,
            seed=seed,
            slate_id=p.new_id(),
            region=profile.region if profile else "",
            language=profile.language if profile else "",
            device=device or (profile.device if profile else ""),
            viewer_state=record,
            seen=np.unique(np.concatenate(seen)),
            served=self._rows(session.served),
            follows=self._authors(relations.follows),
            blocked_authors=self._authors((*relations.blocked, *relations.blocked_by)),
            hidden_authors=self._authors(relations.hidden),
            liked=said(reactions.liked | reactions.saved, session, record, table),
            disliked=said(reactions.disliked, session, record, table),
            own_author=table.authors.code(viewer_id),
            keep_full=viewer_id in p.settings.debug_viewers or (seed % 10_000) < share * 10_000,
            degraded=facts.degraded,
        )

    def _watched(self, record: Array, now: int) -> Int32:
        """The last watches, which the viewer's row may know before the history does."""
        length = record["history_len"][0]
        young = record["history_time_ms"][0, :length] > now - self._p.seen_again_ms
        return np.asarray(record["history_video"][0, :length][young], np.int32)

    def _authors(self, author_ids: Sequence[str]) -> Int32:
        codes = self._p.state.table.authors.codes(author_ids)
        return np.asarray(codes[codes > 0], np.int32)

    def _rows(self, video_ids: Sequence[str]) -> Int32:
        rows = np.unique(self._p.state.table.rows(video_ids))
        return np.asarray(rows[rows >= 0], np.int32)

    def _slate(self, query: Query, surface: Surface, ranked: Ranked, facts: ViewerFacts) -> Slate:
        p, batch = self._p, ranked.batch
        names = [source.name for source in surface.sources]
        propensity = ranked.propensity
        return Slate(
            slate_id=query.slate_id,
            viewer_id=query.viewer_id,
            session_id=query.session_id,
            surface=surface.name,
            time_ms=query.now_ms,
            page=query.page,
            seed=query.seed,
            video_ids=tuple(p.state.table.video_ids[row] for row in batch.rows),
            sources=tuple(names[number] for number in batch.source),
            propensities=tuple(propensity.tolist()) if propensity is not None else (),
            bundle_id=p.bundle_id(),
            parameter_hash=p.config.parameter_hash,
            applied_offset=p.applied_offset(),
            degraded=(*facts.degraded, *ranked.trace.degraded),
            fidelity="full" if query.keep_full else "features",
            policy=ranked.draw.policy if ranked.draw is not None else "",
            drawn=tuple(ranked.draw.places.tolist()) if ranked.draw is not None else (),
        )

    def _standing(self, video_ids: Sequence[str], relations: Relations, region: str) -> list[str]:
        """The videos of a slate that may be shown by now."""
        return [video_ids[place] for place in visible(self._p.state.table, relations, region, video_ids)]

    async def _answer(self, slate: Slate, video_ids: Sequence[str], facts: ViewerFacts, limit: int) -> FeedPage:
        p = self._p
        shown = await self._views.of(video_ids[:limit], facts.reactions)
        missing = shown.left_out if shown.videos else (*shown.left_out, "nothing_left")
        more = len(slate.video_ids) > 0
        expires = p.clock() + p.settings.cursor_ttl_s * 1000
        cursor = Cursor(slate.viewer_id, slate.session_id, slate.page + 1, expires)
        return FeedPage(
            videos=shown.videos,
            next_page=slate.page + 1 if more else None,
            has_more=more,
            cursor=p.signer.write(cursor) if more else None,
            slate_id=slate.slate_id,
            all_seen=not slate.video_ids or AGAIN in slate.sources,
            preload_next_at=math.ceil(_PRELOAD_AT * len(shown.videos)) if more else None,
            degraded=tuple(dict.fromkeys((*slate.degraded, *facts.degraded, *missing))),
            made_up=shown.made_up,
        )

    def _unsafe(self, viewer_id: str, facts: ViewerFacts) -> FeedPage:
        """Unknown blocks: nothing is shown rather than something that must not be."""
        degraded = (*facts.degraded, "safety_unknown")
        return FeedPage(videos=[], next_page=None, has_more=False, cursor=None, slate_id="", degraded=degraded)


async def settle(tasks: set[asyncio.Task[None]], on_outage: Callable[[str], None]) -> None:
    """Wait for side effects that were put off; an outage is counted, never raised."""
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Unavailable):
            on_outage("side_effect")
        elif isinstance(result, BaseException):
            raise result
