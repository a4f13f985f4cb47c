"""Towers that learn on say at first what they said, also of videos and words that came since."""

from dataclasses import replace

import numpy as np
import pytest

from candidate_gen.examples import histories_at
from candidate_gen.towers import VideoTower, ViewerTower
from core.video_table import VideoTable
from tests.candidate_gen.conftest import TINY
from tests.candidate_gen.worlds import PROFILE_WORDS, START_MS, add_video, make_world
from training.incremental_towers import CannotContinue, carry_over, continued_towers

LATER_VIDEOS = 12


@pytest.fixture(scope="module")
def world():
    return make_world(viewers=120, videos=80, content_dim=6)


@pytest.fixture(scope="module")
def before(world):
    from candidate_gen.train_towers import train_towers

    config = TINY.model_copy(update={"epochs": 2})
    return train_towers(world.watches, world.table, config, START_MS, world.now_ms, PROFILE_WORDS).arrays


@pytest.fixture(scope="module")
def grown(world):
    """The catalogue with later videos of authors, topics and regions that nobody knew."""
    table = VideoTable()
    for row, video_id in enumerate(world.table.video_ids):
        vector = tuple(world.table.embedding[row])
        add_video(table, row, row % 8, int(world.table.upload_ms[row]), region=("north", "south")[row % 2],
                  embedding=vector)  # fmt: skip
        assert table.video_ids[row] == video_id
    for row in range(len(world.table), len(world.table) + LATER_VIDEOS):
        vector = tuple(np.random.default_rng(row).normal(size=6))
        add_video(table, row, 8, world.now_ms, author=f"new{row}", region="west", embedding=vector)
    return table


def said(arrays, table, world):
    """The scores of every video for every viewer, as serving computes them."""
    rows, watches = np.arange(len(table), dtype=np.int32), world.watches
    video = VideoTower(arrays)
    viewer = ViewerTower(arrays, video.inputs(table, rows))
    now = np.full(watches.viewers, world.now_ms)
    past = histories_at(watches, np.arange(watches.viewers, dtype=np.int32), now, watches.indptr[1:], 20)
    return viewer.encode_many(past, watches.profile) @ video.embed(table, rows, world.now_ms).T


def carried(world, table, before, sizes):
    """The parameters in a model of today, without a pass."""
    from candidate_gen.two_towers import TwoTowers

    model = TwoTowers(TINY, table, sizes)
    carry_over(before.parameters, model)
    return replace(before, parameters={name: p.detach().numpy().copy() for name, p in model.named_parameters()})


def test_before_the_first_pass_everything_is_said_as_it_was(world, grown, before):
    now = carried(world, grown, before, (5, 9))
    assert now.videos == len(grown) and now.parameters["viewer.profile.1"].shape[0] == 9
    np.testing.assert_allclose(said(now, grown, world), said(before, grown, world), rtol=1e-5, atol=1e-5)
    profile = now.parameters["viewer.profile.0"]
    assert (profile[3:] == profile[0]).all(), "a new word means what an unknown one did"


def test_a_pass_teaches_the_videos_that_came_and_repeats_to_the_bit(world, grown, before):
    watches, late = world.watches, len(grown) - LATER_VIDEOS
    last = watches.indptr[1:] - 1
    video = watches.video.copy()
    video[last] = late + np.arange(len(last)) % LATER_VIDEOS
    watches = replace(watches, video=video)
    from_ms = int(np.sort(watches.time_ms[last])[len(last) // 4])
    config = TINY.model_copy(update={"epochs": 3})
    runs = [continued_towers(before, watches, grown, config, from_ms, world.now_ms) for _ in range(2)]
    (first, losses), (second, _) = runs
    assert first.to_bytes() == second.to_bytes()
    assert first.videos == len(grown) and len(losses) == 3 and losses[-1] < losses[0]
    assert (np.abs(first.parameters["inputs.ids"][late:]).sum(axis=1) > 0).all()
    later = slice(late, None)
    gain = (said(first, grown, world) - said(before, grown, world))[:, later].mean()
    assert gain > 0, "videos that were watched often are foretold more often"


def test_another_shape_is_a_sentence_and_no_fit(world, grown, before):
    for changes, words in (
        ({"dim": 8}, "dim 16 and the configuration asks for 8"),
        ({"temperature": 0.5}, "temperature"),
    ):
        config = TINY.model_copy(update=changes)
        with pytest.raises(CannotContinue, match=words):
            continued_towers(before, world.watches, grown, config, START_MS, world.now_ms)
    fewer = make_world(viewers=120, videos=40, content_dim=6)
    with pytest.raises(CannotContinue, match=r"inputs.ids has shape \(80, 16\) and today's data make it \(40, 16\)"):
        continued_towers(before, fewer.watches, fewer.table, TINY, START_MS, world.now_ms)
