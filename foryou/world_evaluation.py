"""Judges the product in the synthetic world: how much of the gap between popularity and the oracle it closes."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from core.clock import system_clock
from core.settings import Settings
from feeds.config import ForYouConfig
from foryou.bootstrap import open_product
from foryou.catch_up import catch_up
from foryou.importers.report import ImportStores
from foryou.importers.world import import_world
from foryou.stores import open_stores
from foryou.world_arms import ARMS, Shape, as_it_is
from foryou.world_learner import UNRECORDED, Learner
from foryou.world_policy import ProductPolicy, WorldClock
from simulation.judge import run
from simulation.log_files import write_history
from simulation.oracle import Oracle
from simulation.policies import Popularity
from simulation.scores import JudgeResult, gap_closed, regret_of_new_viewers
from simulation.world import World
from training.config import TrainConfig
from training.log_data import load_log
from training.pipeline import train
from training.progress import Progress, silent


class SeedReport(msgspec.Struct, frozen=True, kw_only=True):
    """One world: rewards per view of the three policies and what else was measured of the product; `new_videos_*` as
    simulation.newcomers says."""

    seed: int
    gap_closed: float
    policy: float
    popularity: float
    oracle: float
    session_views: float
    return_probability: float
    coverage: float
    creator_gini: float
    new_viewer_regret: float
    new_videos: int
    new_videos_shown: float
    new_videos_audience: float
    new_videos_hours: float
    new_videos_match: float
    repeats: int
    missing_views: int


class ArmReport(msgspec.Struct, frozen=True, kw_only=True):
    """A policy over all seeds: the gap closed with its interval, and what it did to the catalogue."""

    arm: str
    gap_closed: float
    low: float
    high: float
    coverage: float
    creator_gini: float
    good_new_video_views: float
    new_videos_hours: float
    new_viewer_regret: float


class WorldReport(msgspec.Struct, frozen=True, kw_only=True):
    """Over all seeds: the gap closed with its 95% interval (seeds and viewers resampled), and of each day; how many
    bundles that were trained at a day's end came to be served."""

    law: str
    users: int
    videos: int
    impressions: int
    viewers: int
    days: int
    gap_closed: float
    low: float
    high: float
    policy: float
    popularity: float
    oracle: float
    daily: list[float]
    increments: int
    seeds: list[SeedReport]
    arms: list[ArmReport] = []


class Worlds(msgspec.Struct, frozen=True, kw_only=True):
    """Which worlds are built, and how many of their viewers are judged for how long; one for each seed."""

    law: str
    users: int
    videos: int
    impressions: int
    seeds: Sequence[int]
    viewers: int
    days: int

    def build(self, seed: int) -> World:
        """The world of a seed, before its history."""
        return World.build(seed, self.users, self.videos, self.law)


def evaluate_world(
    home: Path,
    worlds: Worlds,
    config: TrainConfig,
    progress: Progress = silent,
    *,
    incremental: bool = False,
    arms: Sequence[str] = (),
) -> WorldReport:
    """Build, train and judge each world in a folder of its own under `home`, trained with `config` and the world's
    seed; with `incremental` the product learns on in the nights between judged days. `arms` are judged beside it
    (foryou.world_arms)."""
    judged: dict[str, list[JudgeResult]] = {name: [] for name in ("product", *arms, "popularity", "oracle")}
    learned = 0
    for number, seed in enumerate(worlds.seeds):
        own = config.model_copy(update={"seed": seed})
        folder, world = home / f"world-{worlds.law}-{seed}", worlds.build(seed)
        trained_home(world, folder, worlds.impressions, own, progress)
        progress("judged worlds", number, len(worlds.seeds))
        learner = Learner(own, nights=worlds.days - 1) if incremental else None
        how = worlds.viewers, worlds.days, seed
        judged["product"].append(judge_product(world, folder, *how, learner=learner))
        learned += learner.served if learner else 0
        for arm in arms:
            part = ARMS[arm]
            judged[arm].append(judge_product(world, folder, *how, part.config(None), shape=part.shape))
        for name, policy in (("popularity", Popularity()), ("oracle", Oracle())):
            judged[name].append(run(world, policy, worlds.days, worlds.viewers, seed=seed))
        progress("judged worlds", number + 1, len(worlds.seeds))
    return _world_report(worlds, judged, learned)


def _world_report(worlds: Worlds, judged: Mapping[str, Sequence[JudgeResult]], learned: int) -> WorldReport:
    trio = policy, popularity, oracle = judged["product"], judged["popularity"], judged["oracle"]
    closed = gap_closed(policy, popularity, oracle, np.random.default_rng(0))
    reports = [
        _seed_report(seed, gap, *runs) for seed, gap, *runs in zip(worlds.seeds, closed.by_seed, *trio, strict=True)
    ]
    return WorldReport(
        law=worlds.law,
        users=worlds.users,
        videos=worlds.videos,
        impressions=worlds.impressions,
        viewers=worlds.viewers,
        days=worlds.days,
        gap_closed=closed.mean,
        low=closed.low,
        high=closed.high,
        policy=float(np.mean([r.reward_per_view for r in policy])),
        popularity=float(np.mean([r.reward_per_view for r in popularity])),
        oracle=float(np.mean([r.reward_per_view for r in oracle])),
        daily=daily_gap(policy, popularity, oracle),
        increments=learned,
        seeds=reports,
        arms=arm_reports(judged) if len(judged) > len(trio) else [],
    )


def arm_reports(arms: Mapping[str, Sequence[JudgeResult]]) -> list[ArmReport]:
    """A report of each policy between the runs "popularity" and "oracle"."""
    low, high = arms["popularity"], arms["oracle"]
    return [_arm_report(arm, runs, low, high) for arm, runs in arms.items()]


def _arm_report(
    arm: str, runs: Sequence[JudgeResult], low: Sequence[JudgeResult], high: Sequence[JudgeResult]
) -> ArmReport:
    closed = gap_closed(runs, low, high, np.random.default_rng(0))
    pairs = zip(runs, high, strict=True)
    return ArmReport(
        arm=arm,
        gap_closed=closed.mean,
        low=closed.low,
        high=closed.high,
        coverage=float(np.mean([run.coverage for run in runs])),
        creator_gini=float(np.mean([run.creator_gini for run in runs])),
        good_new_video_views=float(np.mean([run.good_new_video_views for run in runs])),
        new_videos_hours=float(np.mean([run.new_videos.hours for run in runs])),
        new_viewer_regret=float(np.mean([regret_of_new_viewers(run, best) for run, best in pairs])),
    )


def daily_gap(
    policy: Sequence[JudgeResult], popularity: Sequence[JudgeResult], oracle: Sequence[JudgeResult]
) -> list[float]:
    """The gap closed on each day, mean over seeds."""
    ours, low, high = (np.array([run.daily_reward for run in runs]) for runs in (policy, popularity, oracle))
    gaps: list[float] = ((ours - low) / (high - low)).mean(axis=0).tolist()
    return gaps


def _seed_report(
    seed: int, gap: float, policy: JudgeResult, popularity: JudgeResult, oracle: JudgeResult
) -> SeedReport:
    return SeedReport(
        seed=seed,
        gap_closed=gap,
        policy=policy.reward_per_view,
        popularity=popularity.reward_per_view,
        oracle=oracle.reward_per_view,
        session_views=policy.session_views,
        return_probability=policy.return_probability,
        coverage=policy.coverage,
        creator_gini=policy.creator_gini,
        new_viewer_regret=regret_of_new_viewers(policy, oracle),
        new_videos=policy.new_videos.videos,
        new_videos_shown=policy.new_videos.shown,
        new_videos_audience=policy.new_videos.audience,
        new_videos_hours=policy.new_videos.hours,
        new_videos_match=policy.new_videos.match,
        repeats=policy.repeats,
        missing_views=policy.missing_views,
    )


def trained_home(world: World, home: Path, impressions: int, config: TrainConfig, progress: Progress) -> None:
    """Let the world live its history, import it into a fresh home, and train on it."""
    shutil.rmtree(home, ignore_errors=True)
    write_history(world, home / "world", impressions, lambda done, total: progress("world", done, total))

    async def prepare() -> None:
        stores = open_stores(home)
        await import_world(home / "world", ImportStores(stores.log, stores.tables, home, system_clock))
        await catch_up(stores, progress)
        data = await load_log(stores.log, stores.videos, stores.tables)
        train(data, config, home, system_clock(), progress, how=UNRECORDED)
        await stores.features.write(data.driver.packed(0), data.applied_offset)
        stores.close()

    asyncio.run(prepare())


def judge_product(
    world: World,
    home: Path,
    viewers: int,
    days: int,
    seed: int,
    parameters: ForYouConfig | None = None,
    learner: Learner | None = None,
    shape: Shape = as_it_is,
) -> JudgeResult:
    """The product's own feed, on a copy of its home, over the days after the history; a learner trains in the nights
    between."""
    judged = home.with_name(home.name + "-judged")
    shutil.rmtree(judged, ignore_errors=True)
    shutil.copytree(home, judged, ignore=shutil.ignore_patterns("world", "scratch", "ml*"))
    clock = WorldClock(world.day_start_ms(world.setup.days))
    loop = asyncio.new_event_loop()
    stores = open_stores(judged, durable=False)
    # The world's clock stands while a page is ranked: none comes too late.
    settings = Settings(home=judged, full_slate_share=0.0, request_deadline_ms=600_000)
    product = loop.run_until_complete(open_product(settings, clock, parameters, stores=stores))
    product.reshape(shape)
    try:
        return run(world, ProductPolicy(product, clock, loop, learner), days, viewers, seed=seed)
    finally:
        stores.close()
        loop.close()
        shutil.rmtree(judged, ignore_errors=True)
