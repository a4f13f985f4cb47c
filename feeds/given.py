"""A surface for rows that are given in order: the filters of another surface, and the first of what they leave."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.arrays import Array, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.stages import Selection, Source, Step, Surface, kind_of


class GivenSource:
    """These rows, best first; those that were served in the session may be left out before there are too many."""

    def __init__(self, name: str, rows: Int32, most: int) -> None:
        self.name = name
        self._rows, self._most = np.asarray(rows[rows >= 0], np.int32), most

    def fetch(self, query: Query) -> Int32:
        """[<= most] int32"""
        return self._rows[~np.isin(self._rows, query.served)][: self._most]


class NoSource:
    """Holds the number of a source of another surface, so that the given rows come from none of them."""

    def __init__(self, name: str) -> None:
        self.name = name

    def fetch(self, query: Query) -> Int32:
        """[0] int32"""
        return np.zeros(0, np.int32)


class PlaceHydrator:
    """Adds each candidate's place among those given, which is its place on the page."""

    name = "place"

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """place [n] int64"""
        return {self.name: np.arange(len(batch))}


class PlaceSelector:
    """The first ones."""

    def __init__(self, name: str) -> None:
        self.name = name

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= limit] by place"""
        order = np.argsort(batch[PlaceHydrator.name], kind="stable")
        return Selection(order[: query.limit].astype(np.int32))


def given(surface: Surface, name: str, rows: Int32, steps: tuple[Step, ...], most: int = 500) -> Surface:
    """A surface of the given rows in their order, after these steps of `surface`, none of which is a selector."""
    sources: tuple[Source, ...] = (*map(_held, surface.sources), GivenSource(name, rows, most))
    return Surface(surface.name, sources, (PlaceHydrator(), *steps, PlaceSelector(name)))


def filters_and(surface: Surface, *hydrators: type[Any]) -> tuple[Step, ...]:
    """The surface's filters and its hydrators of these kinds, in its order."""
    return tuple(step for step in surface.steps if kind_of(step) == "filter" or isinstance(step, hydrators))


def _held(source: Source) -> NoSource:
    return NoSource(source.name)
