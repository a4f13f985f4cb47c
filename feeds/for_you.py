"""The For-You use case: hydrate, run the surface, record the slate, answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Array, Int32
from core.catalogue import Relations, ViewerRecord
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
from feeds.ladder import Ladder, Rung
from feeds.page import FeedPage
from feeds.render import made_up_fields, video_view
from feeds.seen_again import AGAIN, again, seen_longest_ago
from feeds.seen_videos import SeenConfig
from feeds.session import Session, current
from feeds.told_events import counted
from feeds.turns import OwnTurns, Turns
from feeds.visibility import visible


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

    async def page(self, viewer_id: str, *, page: int | None, limit: int, cursor: str | None, device: str) -> FeedPage:
        """The page, recorded before it is returned; docs/for_you.md has the rules.

        Neither page nor cursor: the next page of the session. A page or cursor that was served before: the same slate
        again, less what must not be shown by now. Raises CursorError.
        """
        p, now, begun_ns = self._p, self._p.clock(), self._p.engine.now_ns()
        given = p.signer.read(cursor, viewer_id, now) if cursor else None
        async with p.turns.of(viewer_id):
            facts = await self._facts(viewer_id)
            idle_ms, stays_ms = p.settings.cursor_ttl_s * 1000, p.config.never_again_ms
            continued = given.session_id if given is not None else ""
            session = current(facts.slates, now, idle_ms, stays_ms, p.new_id(), continued)
            if facts.relations is None:
                return self._unsafe(viewer_id, facts)
            # Only we write cursors: theirs is the next page even where the slates before it were lost.
            number = given.page if given is not None else session.numbered(page)
            slate = session.pages.get(number)
            if slate is None:
                query = self._query(viewer_id, session, number, limit, facts, device, now)
                slate = await self._fresh(query, facts, begun_ns)
        return await self._answer(slate, self._standing(slate.video_ids, facts.relations, facts.region), facts, limit)

    async def _facts(self, viewer_id: str) -> ViewerFacts:
        p = self._p
        facts = await read_viewer(p.readers, viewer_id, p.config.session_pages, p.settings.hydrate_deadline_ms)
        if facts.news is not None and p.readers.known is not None:
            p.later(p.readers.known.remember(viewer_id, facts.news))
        return facts

    async def _fresh(self, query: Query, facts: ViewerFacts, begun_ns: int) -> Slate:
        """Run the surface, or what stands below it, and record what was chosen."""
        p, surface = self._p, self._p.surface()
        last = p.state.table.rows(facts.slates[0].video_ids if facts.slates else ())
        query, chosen, ranked = await self._ladder.page(query, surface, begun_ns, last)
        lower = chosen is not surface
        if not lower and not len(ranked.batch):
            query, chosen = await self._again(query, surface, facts)
            ranked = p.engine.execute(chosen, query)
        slate = self._slate(query, chosen, ranked, facts)
        await p.readers.slates.append(slate)
        if not lower:  # a page from below was not scored
            p.later(self._explainable(slate, query, ranked))
        return slate

    async def _again(self, query: Query, surface: Surface, facts: ViewerFacts) -> tuple[Query, Surface]:
        """What is left where everything has been seen: of that, what was seen longest ago."""
        try:
            ids = await seen_longest_ago(self._p.readers.history, query.viewer_id, facts.reactions)
        except Unavailable:
            ids = []
        return again(query, surface, self._p.state.table.rows(ids))

    async def _explainable(self, slate: Slate, query: Query, ranked: Ranked) -> None:
        await self._p.readers.slates.detail(detail_of(slate, query, ranked))

    def _query(
        self, viewer_id: str, session: Session, number: int, limit: int, facts: ViewerFacts, device: str, now: int
    ) -> Query:
        p, table, relations = self._p, self._p.state.table, facts.relations
        assert relations is not None
        record = facts.record if facts.record is not None else p.state.new_viewer(None)
        if facts.profile is not None:
            p.state.set_profile(record, facts.profile)
        record = counted(record, facts.told, p.state, now)
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
        records = [r for r in await p.videos.videos(video_ids[:limit]) if r is not None]
        author_ids = list(dict.fromkeys(record.video.author_id for record in records))
        users, left_out = await self._users(author_ids)
        missing = left_out if records else (*left_out, "nothing_left")
        authors = dict(zip(author_ids, users, strict=True))
        totals = p.state.videos.counts.totals
        views = [
            video_view(r, authors[r.video.author_id], totals[p.state.table.row(r.video.video_id)], facts.reactions)
            for r in records
        ]
        more = len(slate.video_ids) > 0
        expires = p.clock() + p.settings.cursor_ttl_s * 1000
        cursor = Cursor(slate.viewer_id, slate.session_id, slate.page + 1, expires)
        return FeedPage(
            videos=views,
            next_page=slate.page + 1 if more else None,
            has_more=more,
            cursor=p.signer.write(cursor) if more else None,
            slate_id=slate.slate_id,
            all_seen=not slate.video_ids or AGAIN in slate.sources,
            degraded=tuple(dict.fromkeys((*slate.degraded, *facts.degraded, *missing))),
            made_up=made_up_fields(records, authors),
        )

    async def _users(self, user_ids: Sequence[str]) -> tuple[list[ViewerRecord | None], tuple[str, ...]]:
        """The users, and what had to be left out."""
        readers = self._p.readers
        if readers.users is None:
            return await readers.tables.users(user_ids), ()
        try:
            limit_s = self._p.settings.hydrate_deadline_ms / 1000
            return await asyncio.wait_for(readers.users.read(user_ids), limit_s), ()
        except (Unavailable, TimeoutError):
            return readers.users.last_known(user_ids), ("authors",)

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
