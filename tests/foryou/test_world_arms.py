"""Parts of the product beside the whole: what is left of its surface, and what is told of each."""

import asyncio
from dataclasses import replace

import numpy as np

from core.settings import Settings
from feeds.config import ForYouConfig
from foryou.bootstrap import open_product
from foryou.stores import open_stores
from foryou.world_arms import ARMS
from foryou.world_evaluation import arm_reports
from foryou.world_policy import WorldClock
from simulation.law import DAY_MS, EPOCH_MS
from simulation.scores import JudgeResult


def test_the_two_towers_alone_serve_and_the_whole_product_again_afterwards(home):
    clock, stores = WorldClock(EPOCH_MS + 6 * DAY_MS), open_stores(home, durable=False)
    settings, config = Settings(home=home, request_deadline_ms=30_000), ARMS["two_tower"].config(None)

    async def pages():
        product = await open_product(settings, clock, config, stores=stores)
        whole = product.surface()
        product.reshape(ARMS["two_tower"].shape)
        alone = product.surface().components()
        assert [name for kind, name in alone if kind != "filter"] == ["two_tower", "catalogue", "tower", "tower_order"]
        first = await product.page("u1", page=None, limit=10, cursor=None, device="")
        product.reshape(lambda surface: surface)
        assert product.surface().components() == whole.components()
        second = await product.page("u1", page=None, limit=10, cursor=None, device="")
        await product.settled()
        return [{video.video_id for video in page.videos} for page in (first, second)]

    try:
        first, second = asyncio.run(pages())
    finally:
        stores.close()
    assert len(first) == len(second) == 10 and not first & second


def test_an_arm_changes_what_it_names_and_keeps_the_rest():
    whole = ForYouConfig(topic_weight=0.9, like_weight=0.7)
    arm = ARMS["no_diversity"].config(whole)
    assert (arm.topic_weight, arm.author_weight, arm.like_weight) == (0.0, 0.0, 0.7)
    drawn = {"exploration_every": 0, "random_share": 0.0}
    assert ARMS["nothing_drawn"].config(whole) == whole.model_copy(update=drawn)
    assert ARMS["no_exploration"].config(whole) == whole.model_copy(update=drawn | {"exploration_weight": 0.0})


def test_arms_lie_between_popularity_and_the_oracle():
    low = _run(1.0)
    reports = arm_reports({"half": [_run(2.0)], "popularity": [low], "oracle": [_run(3.0)]})
    assert [(report.arm, round(report.gap_closed, 6)) for report in reports] == [
        ("half", 0.5), ("popularity", 0.0), ("oracle", 1.0),
    ]  # fmt: skip
    assert reports[0].new_viewer_regret == 1.0


def _run(reward):
    """A run in which each of four viewers had ten views of this reward."""
    views = np.full(4, 10.0)
    whole = JudgeResult(
        reward_per_view=reward, viewer_ids=list("abcd"), viewer_reward=views * reward, viewer_views=views,
        session_views=1.0, return_probability=0.5, coverage=0.1, creator_gini=0.2, new_viewer_reward=reward,
        good_new_video_views=0.0, repeats=0, invalid=0, author_cap_breaches=0, missing_views=0,
    )  # fmt: skip
    return replace(whole, daily_reward=(reward,))
