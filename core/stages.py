"""The stage protocols of a feed request, each with the contract that the engine enforces.

| stage | gives | must not |
| Source | row numbers | score |
| Filter | a boolean mask | score, reorder |
| Hydrator | new columns | drop, reorder |
| Scorer | one float for each row | drop |
| Selector | an order of some rows | change scores |
| SideEffect | nothing | delay the response |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.arrays import Array, Bool, Float64, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.slate import Slate


@runtime_checkable
class Source(Protocol):
    """Gives row numbers of the video table, best first, at most its quota."""

    name: str

    def fetch(self, query: Query) -> Int32:
        """[<= quota] int32"""
        ...


@runtime_checkable
class Filter(Protocol):
    """Says which candidates may stay."""

    name: str

    def keep(self, query: Query, batch: CandidateBatch) -> Bool:
        """[n] bool"""
        ...


@runtime_checkable
class Hydrator(Protocol):
    """Adds columns."""

    name: str

    def columns(self, query: Query, batch: CandidateBatch) -> Mapping[str, Array]:
        """Each column has n as its first dimension."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Adds one float column, named after the scorer."""

    name: str

    def score(self, query: Query, batch: CandidateBatch) -> Float64:
        """[n] float, no NaN"""
        ...


@dataclass(frozen=True, slots=True)
class Draw:
    """What a random choice was made from: `places` [p] of the page went to members of a pool (`rows` [n] of the video
    table) without replacement, by softmax(`score` [n] / `temperature`) among those left; `policy` says how it came."""

    policy: str
    places: Int32
    rows: Int32
    score: Float64
    temperature: float


@dataclass(frozen=True, slots=True)
class Selection:
    """An order of some candidates; where the choice was random, the probability of each at its place, and the draw."""

    order: Int32
    propensity: Float64 | None = None
    draw: Draw | None = None


@runtime_checkable
class Selector(Protocol):
    """Orders and chooses."""

    name: str

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """`order` [k] of distinct indices into the batch, k <= n; nothing drops or reorders after a random one"""
        ...


@runtime_checkable
class SideEffect(Protocol):
    """Runs after the response."""

    name: str

    async def run(self, query: Query, slate: Slate) -> None:
        """Must not raise for an outage; it is counted."""
        ...


Step = Filter | Hydrator | Scorer | Selector


@dataclass(frozen=True, slots=True)
class Surface:
    """A product placement as a readable list of stages."""

    name: str
    sources: tuple[Source, ...]
    steps: tuple[Step, ...]
    side_effects: tuple[SideEffect, ...] = ()

    def components(self) -> list[tuple[str, str]]:
        """(kind, name) of every stage in order, so that a surface can be printed."""
        listed: list[tuple[str, str]] = [("source", source.name) for source in self.sources]
        listed += [(kind_of(step), step.name) for step in self.steps]
        return listed + [("side effect", effect.name) for effect in self.side_effects]


def kind_of(step: Step) -> str:
    """The step's kind in one word."""
    for kind, method in (
        ("filter", "keep"),
        ("hydrator", "columns"),
        ("scorer", "score"),
        ("selector", "select"),
    ):
        if hasattr(step, method):
            return kind
    raise TypeError(f"{step!r} is no stage.")
