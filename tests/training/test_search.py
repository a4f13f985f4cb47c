"""A search stays within its bounds, begins with what is, and chooses nothing that is not better."""

import math

import pytest

from candidate_gen.als import AlsConfig
from candidate_gen.tower_config import TowerConfig
from tests.training.fitted_world import logged_world
from training.config import TrainConfig
from training.config_file import changed
from training.search import SPACE, Bounds, Found, Ground, Trial, _trials, search, value_of
from training.search_record import SearchRecord
from training.tracking import Tracker

CONFIG = TrainConfig(
    threads=1, rounds=5, members=1, towers=TowerConfig(epochs=1, dim=8, inputs=8, hidden=8), als=AlsConfig(rounds=2),
)  # fmt: skip


class Clock:
    """Milliseconds, of which a trial takes so many."""

    def __init__(self, trial_ms=0):
        self.now_ms, self.trial_ms = 1_000, trial_ms

    def __call__(self):
        return self.now_ms


def tried(judge, trials=30, minutes=1e9, trial_ms=0):
    clock = Clock(trial_ms)

    def timed(config):
        clock.now_ms += clock.trial_ms
        return judge(config)

    bounds = Bounds(trials, 1_000 + int(minutes * 60_000), clock)
    found = Found(list(_trials("retrieval", TrainConfig(), timed, bounds, lambda *_: None)))
    return found


def off(config):
    """Best at a confidence of 160, twice what it is."""
    return -abs(math.log(config.als.confidence / 160))


def test_trials_come_closer_to_what_is_best_and_the_first_is_what_is():
    found = tried(off)
    assert len(found.trials) == 30 and found.trials[0].changes == {}
    assert found.trials[0].score == pytest.approx(-math.log(2))
    assert found.best("retrieval").score > -0.15
    config = changed(TrainConfig(), found.changes)
    assert off(config) == found.best("retrieval").score


def test_where_nothing_is_better_nothing_is_changed():
    now = TrainConfig().als.confidence
    assert tried(lambda config: -abs(math.log(config.als.confidence / now)), trials=8).changes == {}


def test_no_trial_begins_that_would_likely_end_too_late():
    # Of ten seconds each, in 35 seconds: a fourth would end after 40.
    assert len(tried(off, minutes=35 / 60, trial_ms=10_000).trials) == 3
    assert len(tried(off, minutes=0, trial_ms=10_000).trials) == 1


def test_the_same_seed_tries_the_same():
    assert [t.changes for t in tried(off, 8).trials] == [t.changes for t in tried(off, 8).trials]


def test_a_trial_without_a_score_is_never_the_best():
    found = tried(lambda config: math.nan if config.als.confidence != 80 else 0.5, trials=6)
    assert found.best("retrieval").number == 0
    assert Found([Trial("heads", 0, {}, math.nan, 1.0)]).best("heads") is None


def test_every_parameter_is_one_of_the_configuration_and_begins_within_its_span():
    for space in SPACE.values():
        for name, span in space.items():
            assert span.low <= value_of(TrainConfig(), name) <= span.high, name


def test_a_search_of_a_log_is_recorded_as_trials_under_one_run(tmp_path):
    import mlflow

    data, clock, told = logged_world(tmp_path), Clock(), []
    ground = Ground.of(data, CONFIG, tmp_path / "scratch", lambda *_: None)
    record = SearchRecord(tmp_path, "", data, CONFIG, clock)

    def tell(trial):
        clock.now_ms += 1
        told.append(trial)
        record.add(trial)

    found = search(ground, Bounds(4, 10**15, clock), ("retrieval", "heads"), tell)
    assert record.close(found) == "" and Tracker(tmp_path).waiting() == []
    assert [(t.part, t.number) for t in told] == [("retrieval", 0), ("retrieval", 1), ("heads", 0), ("heads", 1)]
    assert 0 < told[0].score < 1 and told[2].score == 0 and told[3].score != 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("foryou").experiment_id])
    [parent] = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert sorted(run.data.metrics["score"] for run in children) == pytest.approx(sorted(t.score for t in told))
    assert parent.data.metrics["best/retrieval"] == max(t.score for t in told[:2])
    assert set(SPACE["heads"]) <= set(children[0].data.params) | set(children[1].data.params)
