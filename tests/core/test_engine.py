"""The engine enforces every stage's contract, counts what it dropped, degrades on an outage and replays."""

from itertools import count

import numpy as np
import pytest

from core.engine import Engine
from core.errors import ContractError, Unavailable
from core.query import Query
from core.stages import Selection, Surface, kind_of

QUERY = Query(viewer_id="ann", surface="toy", session_id="s", now_ms=1, page=0, limit=2, seed=5)


class Stage:
    """A stage from a function; `method` is what its protocol calls."""

    def __init__(self, method, function, name="stage"):
        self.name = name
        setattr(self, method, function)


def source(rows, name="source", dtype=np.int32):
    return Stage("fetch", lambda query: np.array(rows, dtype), name)


def keep(function, name="filter"):
    return Stage("keep", lambda query, batch: function(batch), name)


def columns(function, name="hydrator"):
    return Stage("columns", lambda query, batch: function(batch), name)


def score(function, name="score"):
    return Stage("score", lambda query, batch: function(batch), name)


def select(function, name="selector"):
    return Stage("select", lambda query, batch: Selection(*function(batch)), name)


def run(*steps, sources=None, query=QUERY, engine=None):
    surface = Surface("toy", (source(range(6)),) if sources is None else sources, steps)
    return (engine or Engine()).execute(surface, query)


def fail(*_):
    raise Unavailable("The store is away.")


def best_two(batch):
    return (np.argsort(-batch["score"], kind="stable")[:2].astype(np.int32),)


STEPS = (
    keep(lambda batch: batch.rows != 1, "no_one"),
    columns(lambda batch: {"double": batch.rows * 2}),
    keep(lambda batch: batch["double"] < 10, "small"),
    score(lambda batch: batch["double"].astype(np.float64)),
    select(best_two),
)


def test_stages_run_in_order_and_every_drop_has_its_step():
    ranked = run(*STEPS)
    assert ranked.batch.rows.tolist() == [4, 3]
    # by row: 0 and 2 lost at the selector (step 4), 1 at step 0, 5 at step 2; 3 and 4 are served
    assert ranked.trace.dropped.tolist() == [4, 0, 4, -1, -1, 2]
    counted = [(s.kind, s.name, s.before, s.after) for s in ranked.trace.stages]
    assert counted == [
        ("source", "source", 0, 6),
        ("filter", "no_one", 6, 5),
        ("hydrator", "hydrator", 5, 5),
        ("filter", "small", 5, 4),
        ("scorer", "score", 4, 4),
        ("selector", "selector", 4, 2),
    ]


def test_every_stage_is_timed_by_the_timer_that_was_given():
    ticks = count(0, 10)
    ranked = run(*STEPS, engine=Engine(timer=lambda: next(ticks)))
    assert [stage.spent_ns for stage in ranked.trace.stages] == [10] * 6


@pytest.mark.parametrize(
    "step",
    [
        keep(lambda batch: np.ones(len(batch) - 1, bool)),
        keep(lambda batch: np.ones(len(batch))),
        keep(lambda batch: np.ones((len(batch), 1), bool)),
        keep(lambda batch: True),
        columns(lambda batch: {"x": np.zeros(len(batch) + 1)}),
        columns(lambda batch: {"x": np.float64(1)}),
        score(lambda batch: np.full(len(batch), np.nan)),
        score(lambda batch: np.where(batch.rows == 3, np.nan, 1.0)),
        score(lambda batch: np.zeros(len(batch), np.int64)),
        score(lambda batch: np.zeros(len(batch) + 1)),
        select(lambda batch: (np.array([0, 0], np.int32),)),
        select(lambda batch: (np.array([len(batch)], np.int32),)),
        select(lambda batch: (np.array([-1], np.int32),)),
        select(lambda batch: (np.array([0.5]),)),
        select(lambda batch: (np.array([0, 1], np.int32), np.array([0.5]))),
    ],
)
def test_a_stage_that_breaks_its_contract_is_a_bug_and_is_named(step):
    with pytest.raises(ContractError, match=step.name):
        run(step)


@pytest.mark.parametrize("rows", [source([1], dtype=np.int64), source([[1]]), source([1.0], dtype=np.float32)])
def test_a_source_gives_int32_rows_in_one_dimension(rows):
    with pytest.raises(ContractError, match="source"):
        run(sources=(rows,))


def test_a_source_that_is_away_is_left_out_named_and_counted():
    outages = []
    away = Stage("fetch", fail, "away")
    ranked = run(sources=(away, source([8])), engine=Engine(on_outage=outages.append))
    assert ranked.batch.rows.tolist() == [8] and ranked.batch.source.tolist() == [1]
    assert ranked.trace.degraded == ["away"] == outages


def test_a_hydrator_that_is_away_leaves_its_columns_out_named_and_counted():
    outages = []
    ranked = run(Stage("columns", fail, "away"), engine=Engine(on_outage=outages.append))
    assert len(ranked.batch) == 6 and ranked.trace.degraded == ["away"] == outages


def test_a_filter_that_is_away_does_not_fail_open():
    with pytest.raises(Unavailable):
        run(Stage("keep", fail, "away"))


def test_a_bug_in_a_stage_surfaces():
    with pytest.raises(ZeroDivisionError):
        run(score(lambda batch: 1 / 0))


def test_no_candidates_pass_through_every_stage():
    ranked = run(*STEPS, sources=())
    assert len(ranked.batch) == 0 and ranked.trace.dropped.tolist() == []


def test_propensities_follow_the_last_selector():
    ranked = run(select(lambda batch: (np.array([5, 1], np.int32), np.array([0.25, 0.5]))))
    assert ranked.batch.rows.tolist() == [5, 1] and ranked.propensity.tolist() == [0.25, 0.5]


@pytest.mark.parametrize("chances", [[0.5], [0.5, 0.0], [0.5, 1.5], [0.5, np.nan]])
def test_a_propensity_is_a_probability_of_each_place_and_never_0(chances):
    with pytest.raises(ContractError, match="2 propensities above 0"):
        run(select(lambda batch: (np.array([5, 1], np.int32), np.array(chances))))


@pytest.mark.parametrize("later", [keep(lambda batch: batch.rows > 0), select(lambda batch: (np.array([1, 0]),))])
def test_after_a_random_choice_nothing_drops_or_reorders(later):
    drawn = select(lambda batch: (np.array([5, 1], np.int32), np.array([0.25, 0.5])))
    with pytest.raises(ContractError, match="after a random choice"):
        run(drawn, later)


def test_columns_are_recorded_for_all_candidates_only_when_the_query_says_so():
    assert run(*STEPS).trace.recorded == {}
    recorded = run(*STEPS, query=QUERY.with_parts(keep_full=True)).trace.recorded
    # step 1 hydrates after row 1 was dropped: its place holds 0
    assert {name: column.tolist() for name, column in recorded.items()} == {"1:double": [0, 0, 4, 6, 8, 10]}


def test_a_replay_takes_the_recorded_columns_and_asks_no_hydrator():
    first = run(*STEPS, query=QUERY.with_parts(keep_full=True))
    steps = [*STEPS]
    steps[1] = Stage("columns", fail, "hydrator")
    surface = Surface("toy", (), tuple(steps))
    again = Engine().resume(surface, QUERY, first.trace.candidates, recorded=first.trace.recorded)
    assert again.batch.rows.tolist() == first.batch.rows.tolist()
    assert np.array_equal(again.batch["score"], first.batch["score"])
    assert np.array_equal(again.trace.dropped, first.trace.dropped) and again.trace.degraded == []


def test_a_surface_lists_its_stages_by_kind_and_name():
    listed = Surface("toy", (source([1]),), STEPS[:2]).components()
    assert listed == [("source", "source"), ("filter", "no_one"), ("hydrator", "hydrator")]


def test_what_is_no_stage_has_no_kind():
    with pytest.raises(TypeError):
        kind_of(object())
