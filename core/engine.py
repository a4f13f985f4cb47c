"""The pipeline engine: runs a surface's stages, enforces each stage's contract, times it, counts what it dropped."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Array, Int32
from core.batch import CandidateBatch, from_sources
from core.errors import ContractError, Unavailable
from core.query import Query
from core.stages import (
    Draw,
    Filter,
    Hydrator,
    Scorer,
    Selection,
    Selector,
    Source,
    Step,
    Surface,
    kind_of,
)

Timer = Callable[[], int]


class TooLate(Exception):
    """A request's time was over before this stage."""

    def __init__(self, stage: str) -> None:
        super().__init__(f"The time of the request was over before {stage}.")
        self.stage = stage


@dataclass(frozen=True, slots=True)
class StageReport:
    """One stage of one request: candidates before and after, and nanoseconds spent."""

    kind: str
    name: str
    before: int
    after: int
    spent_ns: int


@dataclass(slots=True)
class Trace:
    """What happened to a request; `dropped` [candidates] holds the step number that dropped each (-1: served)."""

    stages: list[StageReport] = field(default_factory=list)
    degraded: list[str] = field(default_factory=list)
    candidates: CandidateBatch | None = None
    dropped: Int32 | None = None
    recorded: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The chosen candidates in order, their propensities [k] (None: deterministic), the trace, and what was drawn."""

    batch: CandidateBatch
    propensity: Array | None
    trace: Trace
    draw: Draw | None = None


class Engine:
    """Executes surfaces. With `full` it also keeps every candidate and every hydrated column for a replay."""

    def __init__(
        self,
        timer: Timer = time.perf_counter_ns,
        on_outage: Callable[[str], None] | None = None,
        on_stage: Callable[[str, str, int], None] | None = None,
    ) -> None:
        self._timer, self._on_stage = timer, on_stage
        self._on_outage = on_outage or (lambda stage: None)

    def now_ns(self) -> int:
        """The time on the engine's timer, nanoseconds."""
        return self._timer()

    def execute(self, surface: Surface, query: Query, until_ns: int | None = None) -> Ranked:
        """Sources, then every step in order; TooLate where one would begin after `until_ns` on the engine's timer."""
        trace = Trace()
        batch = self._retrieve(surface.sources, query, trace, until_ns)
        ranked = self.resume(surface, query, batch, trace, until_ns=until_ns)
        if self._on_stage is not None:
            for stage in trace.stages:
                self._on_stage(stage.kind, stage.name, stage.spent_ns)
        return ranked

    def resume(
        self,
        surface: Surface,
        query: Query,
        batch: CandidateBatch,
        trace: Trace | None = None,
        recorded: Mapping[str, Array] | None = None,
        until_ns: int | None = None,
    ) -> Ranked:
        """Every step in order on candidates that are given; `recorded` columns [candidates] replace the hydrators'.
        TooLate as `execute`."""
        trace = trace or Trace()
        run = _Run(query, batch, trace, recorded, self._timer, self._on_outage)
        for number, step in enumerate(surface.steps):
            self._require_time(step.name, until_ns)
            run.step(number, step)
        return run.finish()

    def _require_time(self, stage: str, until_ns: int | None) -> None:
        if until_ns is not None and self._timer() > until_ns:
            raise TooLate(stage)

    def _retrieve(
        self, sources: tuple[Source, ...], query: Query, trace: Trace, until_ns: int | None
    ) -> CandidateBatch:
        found: list[tuple[int, Int32]] = []
        for number, source in enumerate(sources):
            self._require_time(source.name, until_ns)
            start = self._timer()
            try:
                rows = np.asarray(source.fetch(query))
            except Unavailable:
                trace.degraded.append(source.name)
                self._on_outage(source.name)
                continue
            if rows.ndim != 1 or rows.dtype != np.int32:
                raise ContractError(f"Source {source.name} must give a 1-d int32 array, not {rows.dtype}{rows.shape}.")
            found.append((number, rows))
            trace.stages.append(StageReport("source", source.name, 0, len(rows), self._timer() - start))
        return from_sources(found)


class _Run:
    """The mutable part of one execution."""

    def __init__(
        self,
        query: Query,
        batch: CandidateBatch,
        trace: Trace,
        recorded: Mapping[str, Array] | None,
        timer: Timer,
        on_outage: Callable[[str], None],
    ) -> None:
        self.query, self.batch, self.trace, self.timer, self.on_outage = (
            query,
            batch,
            trace,
            timer,
            on_outage,
        )
        self.replayed = recorded
        self.propensity: Array | None = None
        self.draw: Draw | None = None
        self.alive = np.arange(len(batch), dtype=np.int32)
        trace.candidates = batch
        trace.dropped = np.full(len(batch), -1, np.int32)

    def step(self, number: int, step: Step) -> None:
        """Run one step under its contract."""
        kind, before, start = kind_of(step), len(self.batch), self.timer()
        if self.propensity is not None and kind in ("filter", "selector"):
            raise ContractError(f"The {kind} {step.name} comes after a random choice, whose chances it would change.")
        run = {
            "filter": self._filter,
            "hydrator": self._hydrate,
            "scorer": self._score,
            "selector": self._select,
        }[kind]
        run(number, step)  # type: ignore[operator]
        spent = self.timer() - start
        self.trace.stages.append(StageReport(kind, step.name, before, len(self.batch), spent))

    def finish(self) -> Ranked:
        """What is left is what is served."""
        return Ranked(self.batch, self.propensity, self.trace, self.draw)

    def _filter(self, number: int, step: Filter) -> None:
        keep = np.asarray(step.keep(self.query, self.batch))
        if keep.shape != (len(self.batch),) or keep.dtype != np.bool_:
            raise ContractError(f"Filter {step.name} must give a bool for each of {len(self.batch)} candidates.")
        if not keep.all():
            self._narrow(number, np.flatnonzero(keep))

    def _hydrate(self, number: int, step: Hydrator) -> None:
        if self.replayed is not None:
            prefix = f"{number}:"
            names = [name for name in self.replayed if name.startswith(prefix)]
            self.batch = self.batch.with_columns({n[len(prefix) :]: self.replayed[n][self.alive] for n in names})
            return
        try:
            columns = step.columns(self.query, self.batch)
        except Unavailable:
            self.trace.degraded.append(step.name)
            self.on_outage(step.name)
            return
        for name, column in columns.items():
            if column.shape[:1] != (len(self.batch),):
                raise ContractError(f"Hydrator {step.name} gave column {name} of {column.shape} for {len(self.batch)}.")
            if self.query.keep_full:
                self._record(f"{number}:{name}", column)
        self.batch = self.batch.with_columns(columns)

    def _score(self, number: int, step: Scorer) -> None:
        score = np.asarray(step.score(self.query, self.batch))
        if score.shape != (len(self.batch),) or score.dtype.kind != "f" or np.isnan(score).any():
            raise ContractError(
                f"Scorer {step.name} must give a float, not NaN, for each of {len(self.batch)} candidates."
            )
        self.batch = self.batch.with_columns({step.name: score})

    def _select(self, number: int, step: Selector) -> None:
        selection: Selection = step.select(self.query, self.batch)
        order, propensity = np.asarray(selection.order), selection.propensity
        if order.ndim != 1 or order.dtype.kind not in "iu" or not _distinct(order, len(self.batch)):
            raise ContractError(f"Selector {step.name} must give distinct indices below {len(self.batch)}.")
        if propensity is not None and not _chances(propensity, len(order)):
            raise ContractError(f"Selector {step.name} must give {len(order)} propensities above 0, at most 1.")
        self.propensity, self.draw = propensity, selection.draw
        self._narrow(number, order)

    def _narrow(self, number: int, index: Array) -> None:
        lost = np.ones(len(self.batch), np.bool_)
        lost[index] = False
        assert self.trace.dropped is not None
        self.trace.dropped[self.alive[lost]] = number
        self.alive = self.alive[index]
        self.batch = self.batch.take(index)

    def _record(self, name: str, column: Array) -> None:
        assert self.trace.candidates is not None
        whole = np.zeros((len(self.trace.candidates), *column.shape[1:]), column.dtype)
        whole[self.alive] = column
        self.trace.recorded[name] = whole


def _chances(propensity: Array, places: int) -> bool:
    """Whether these are probabilities, none of them 0, of so many places."""
    return np.shape(propensity) == (places,) and bool(np.all((propensity > 0) & (propensity <= 1)))


def _distinct(order: Array, below: int) -> bool:
    """Whether the indices [k] differ from one another and lie in range(below)."""
    return not len(order) or (len(np.unique(order)) == len(order) and 0 <= order.min() <= order.max() < below)
