"""Policies are judged on the same viewers, videos and random numbers."""

import numpy as np
import pytest

from simulation.history import LoggedHistory
from simulation.judge import run
from simulation.oracle import Oracle
from simulation.policies import Popularity, Uniform
from simulation.public import PublicVideo, WideRow
from simulation.scores import gap_closed, gini, regret_of_new_viewers
from simulation.world import World


class Recorder(Uniform):
    """A uniform policy that keeps what it is told."""

    def __init__(self, seed=0):
        super().__init__(np.random.default_rng(seed))
        self.rows: list[WideRow] = []
        self.videos: list[PublicVideo] = []
        self.days: list[int] = []
        self.clock: list[int] = []

    def page(self, viewer_id, now_ms, limit):
        self.clock.append(now_ms)
        return super().page(viewer_id, now_ms, limit)

    def feedback(self, viewer_id, rows):
        assert all(row.viewer_id == viewer_id for row in rows)
        self.rows.extend(rows)

    def end_of_day(self, day):
        self.days.append(day)

    def arrivals(self, users, videos):
        self.videos.extend(videos)


class Same:
    """Offers the same names again and again."""

    def __init__(self, names):
        self.names = names

    def page(self, viewer_id, now_ms, limit):
        return self.names

    def feedback(self, viewer_id, rows): ...

    def end_of_day(self, day): ...

    def arrivals(self, users, videos): ...


@pytest.fixture(scope="module")
def judged(lived):
    """Two days of three policies for 40 viewers."""
    policies = {"oracle": Oracle(), "popularity": Popularity(), "uniform": Uniform(np.random.default_rng(0))}
    return {name: run(lived[0], policy, days=2, viewers=40) for name, policy in policies.items()}


def test_the_oracle_beats_popularity_beats_uniform(judged):
    print({name: round(result.reward_per_view, 3) for name, result in judged.items()})
    assert judged["oracle"].reward_per_view > judged["popularity"].reward_per_view + 0.2
    assert judged["popularity"].reward_per_view > judged["uniform"].reward_per_view + 0.1
    assert judged["oracle"].session_views > judged["uniform"].session_views
    assert judged["oracle"].return_probability > judged["uniform"].return_probability
    assert regret_of_new_viewers(judged["popularity"], judged["oracle"]) > 0


def test_the_gap_is_closed_by_the_oracle_and_opened_by_uniform(judged):
    rng = np.random.default_rng(0)
    trio = judged["popularity"], judged["oracle"]
    assert gap_closed(judged["oracle"], *trio, rng).mean == pytest.approx(1.0)
    assert gap_closed(judged["popularity"], *trio, rng).mean == pytest.approx(0.0)
    uniform = gap_closed([judged["uniform"]] * 2, *([run] * 2 for run in trio), rng)
    assert uniform.low <= uniform.mean <= uniform.high < 0
    assert len(uniform.by_seed) == 2


def test_judging_twice_gives_the_same_numbers_and_leaves_the_world_alone(lived):
    world, _ = lived
    day, satisfaction = world.day, world.satisfaction.copy()
    first, second = (run(world, Uniform(np.random.default_rng(3)), days=1, viewers=20) for _ in range(2))
    assert np.array_equal(first.viewer_reward, second.viewer_reward)
    assert world.day == day and np.array_equal(world.satisfaction, satisfaction)


def test_policies_meet_the_same_viewers_and_the_same_draws(lived, judged):
    assert judged["oracle"].viewer_ids == judged["uniform"].viewer_ids
    # the first page of each viewer's first day comes at a time that no policy can change
    one, two = Recorder(1), Recorder(2)
    run(lived[0], one, days=1, viewers=30)
    run(lived[0], two, days=1, viewers=30)
    starts = [{row.viewer_id: row.time_ms for row in reversed(policy.rows)} for policy in (one, two)]
    assert starts[0] == starts[1]
    assert {row.video_id for row in one.rows} != {row.video_id for row in two.rows}


def test_a_policy_hears_of_pages_arrivals_and_days_in_the_order_of_the_clock(lived):
    policy = Recorder()
    result = run(lived[0], policy, days=2, viewers=20)
    assert policy.days == [0, 1]
    assert policy.clock == sorted(policy.clock)
    assert len(policy.videos) == pytest.approx(2 * 0.02 * 4000, abs=2)
    assert result.viewer_views.tolist() == [80.0] * 20
    assert result.missing_views == result.repeats == result.invalid == 0
    assert all(row.ingested_ms >= row.watch_end_ms == row.time_ms + row.play_ms for row in policy.rows)


def test_repeats_and_unknown_names_are_dropped_and_empty_pages_score_nothing(lived):
    result = run(lived[0], Same(["v1", "v1", "nonsense", "v999999"]), days=1, viewers=20, new_viewers_a_day=0)
    assert result.invalid >= 40 and result.repeats >= 20
    assert result.viewer_views.tolist() == [40.0] * 20
    assert result.missing_views >= 39 * 20
    assert result.reward_per_view < 0.05


@pytest.mark.parametrize("law", ["misspecified", "drifting"])
def test_other_laws_can_be_lived_and_judged(law):
    world = World.build(2, users=200, videos=1600, law=law, days=2)
    for _ in LoggedHistory(world, 5_000).hours():
        pass
    policy = Recorder()
    result = run(world, policy, days=3, viewers=20)
    assert run(world, Oracle(), days=3, viewers=20).reward_per_view > result.reward_per_view
    waits = [row.ingested_ms - row.watch_end_ms for row in policy.rows]
    assert (max(waits) > 3_600_000) == (law == "misspecified")
    assert any(video.topic == "t24" for video in policy.videos) == (law == "drifting")


def test_gini_of_equal_and_of_single_amounts():
    # equal amounts: 0; all in one of four: (n - 1) / n
    assert gini(np.ones(4)) == pytest.approx(0.0)
    assert gini(np.array([0.0, 0.0, 0.0, 5.0])) == pytest.approx(0.75)
