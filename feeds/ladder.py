"""The ladder of a For-You page: what ranks best first, and below it what is sure to answer.

    full        sources, ranking and re-ranking
    cached      what ranked behind an earlier page of this viewer
    trending    what many watch now
    last_page   what the viewer was shown before this session, else the page that they were shown last

A rung that has no time left, whose store is away, or that fails is left for the next one; the answer names the rung in
`degraded`, and metrics count it. All rungs go through the same filters, and what may not be shown leaves by none; the
last one alone lets pass what was seen.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from core.arrays import Int32
from core.engine import Engine, Ranked, TooLate
from core.errors import Unavailable
from core.query import Query
from core.stages import Surface
from feeds.given import filters_and, given
from feeds.hydrate import Patience
from feeds.stages import CatalogueHydrator

_log = logging.getLogger(__name__)

FULL: Final = "full"
LAST_PAGE: Final = "last_page"
_NONE: Final = np.zeros(0, np.int32)
_SMOOTHED: Final = 0.2  # weight of the newest request in what a full page usually takes

Rows = Callable[[Query], Awaitable[Int32]]
Shown = Callable[[], Sequence[Int32]]  # the viewer's pages, newest first, as rows of the video table


@dataclass(frozen=True, slots=True)
class Rung:
    """A lower rung: `rows` of the video table for a query, best first."""

    name: str
    rows: Rows


@dataclass(slots=True)
class Ladder:
    """Chooses a page within what is left of a request's budget.

    `deadline_ns` is the whole request's, on the engine's timer. The full rung is not begun where what it usually takes
    does not fit into what is left, nor gone on with after the deadline. `patience` is the circuit breaker of each lower
    rung; `answered` is told which rung answered and `failed` which did not.
    """

    engine: Engine
    rungs: Sequence[Rung]
    deadline_ns: int
    patience: Patience = field(default_factory=Patience)
    answered: Callable[[str], None] = lambda rung: None
    failed: Callable[[str], None] = lambda rung: None
    _usual_ns: float = 0.0

    async def page(self, query: Query, surface: Surface, begun_ns: int, shown: Shown) -> tuple[Query, Surface, Ranked]:
        """What was chosen, with the query and the surface that chose it; an empty page where nothing is left."""
        until_ns = begun_ns + self.deadline_ns
        ranked = self._full(query, surface, until_ns)
        if ranked is not None:
            self.answered(FULL)
            return query, surface, ranked
        for rung in self.rungs:
            lower = await self._lower(rung, query, surface, until_ns)
            if len(lower[2].batch):
                return lower
            self.failed(rung.name)
        return await self._shown_before(query, surface, until_ns, shown())

    async def _shown_before(
        self, query: Query, surface: Surface, until_ns: int, pages: Sequence[Int32]
    ) -> tuple[Query, Surface, Ranked]:
        """What was seen, but not served of late; only where that is nothing, the last page again."""
        known = np.concatenate([_NONE, *pages])
        first = np.sort(np.unique(known, return_index=True)[1])
        unseen = query.with_parts(seen=_NONE)
        page = await self._lower(Rung(LAST_PAGE, _always(known[first])), unseen, surface, until_ns)
        if len(page[2].batch) or not pages:
            return page
        again = unseen.with_parts(served=_NONE)
        return await self._lower(Rung(LAST_PAGE, _always(pages[0])), again, surface, until_ns)

    async def _lower(self, rung: Rung, query: Query, surface: Surface, until_ns: int) -> tuple[Query, Surface, Ranked]:
        """The rung's page, which says where it comes from."""
        rows = await self._rows(rung, query, until_ns)
        lower = given(surface, rung.name, rows, filters_and(surface, CatalogueHydrator))  # nothing that asks a model
        ranked = self.engine.execute(lower, query)
        ranked.trace.degraded.append(rung.name)
        if len(ranked.batch):
            self.answered(rung.name)
        return query, lower, ranked

    def _full(self, query: Query, surface: Surface, until_ns: int) -> Ranked | None:
        """The page as it is meant; None where it was too late for it, or where a stage has failed."""
        begun_ns = self.engine.now_ns()
        if begun_ns + self._usual_ns > until_ns:
            self._usual_ns *= 1 - _SMOOTHED  # one slow request must not shut the rung for ever
            self.failed(FULL)
            return None
        try:
            ranked = self.engine.execute(surface, query, until_ns)
        except TooLate as late:
            _log.warning("A page was too late for its ranking at stage %s.", late.stage)
            self.failed(FULL)
            return None
        except Exception:  # the engine's boundary: a bug in a model costs the page its order, not the viewer the page
            _log.exception("A stage of %s has failed; the page comes from a lower rung.", surface.name)
            self.failed(FULL)
            return None
        self._usual_ns += _SMOOTHED * (self.engine.now_ns() - begun_ns - self._usual_ns)
        return ranked

    async def _rows(self, rung: Rung, query: Query, until_ns: int) -> Int32:
        """What the rung has, nothing where it is late or away."""
        left_s = max((until_ns - self.engine.now_ns()) / 1e9 / 2, 0.02)
        try:
            rows = await asyncio.wait_for(rung.rows(query), self.patience.limit_s(rung.name, left_s))
        except (Unavailable, TimeoutError):
            self.patience.late(rung.name)
            return _NONE
        self.patience.in_time(rung.name)
        return rows


def _always(rows: Int32) -> Rows:
    async def known(query: Query) -> Int32:
        return rows

    return known
