"""What comes when everything has been seen: what the viewer saw longest ago, liked videos first.

Nothing of this session, and nothing that was served a moment ago, comes even then; and what may not be shown does not.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from core.arrays import Array, Int32
from core.batch import CandidateBatch
from core.catalogue import Reactions
from core.ports import HistoryStore
from core.query import Query
from core.stages import Selection, Source, Surface, kind_of

AGAIN: Final = "seen_again"
_MOST: Final = 500


async def seen_longest_ago(history: HistoryStore, viewer_id: str, reactions: Reactions) -> list[str]:
    """Every video that the viewer has seen: the liked ones by their first sight, then the others. Unavailable."""
    seen = await history.seen(viewer_id)
    return sorted(seen, key=lambda video_id: video_id not in reactions.liked)


class _AgainSource:
    """These rows, best first."""

    name = AGAIN

    def __init__(self, rows: Int32) -> None:
        self._rows = rows

    def fetch(self, query: Query) -> Int32:
        """[<= 500] int32"""
        return self._rows[~np.isin(self._rows, query.served)][:_MOST]


class _NoSource:
    """Holds the number of a source of the surface, so that `again` is none of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fetch(self, query: Query) -> Int32:
        """[0] int32"""
        return np.zeros(0, np.int32)


class _PlaceHydrator:
    """Adds each candidate's place among the source's, which is its place on the page."""

    name = "place"

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """place [n] int64"""
        return {self.name: np.arange(len(batch))}


class _PlaceSelector:
    """The first ones."""

    name = AGAIN

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= limit] by place"""
        order = np.argsort(batch[_PlaceHydrator.name], kind="stable")
        return Selection(order[: query.limit].astype(np.int32))


def again(query: Query, surface: Surface, rows: Int32) -> tuple[Query, Surface]:
    """The surface's own filters, hydrators and scorers on rows that were seen, longest ago first, and the query that
    lets them pass. What is served so is explained by its features and not run again."""
    steps = tuple(step for step in surface.steps if kind_of(step) != "selector")
    known = np.asarray(rows[rows >= 0], np.int32)
    seen_before = query.with_parts(seen=np.zeros(0, np.int32), keep_full=False)
    sources: tuple[Source, ...] = (*(_NoSource(source.name) for source in surface.sources), _AgainSource(known))
    return seen_before, Surface(surface.name, sources, (_PlaceHydrator(), *steps, _PlaceSelector()))
