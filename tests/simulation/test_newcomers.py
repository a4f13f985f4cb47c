"""New videos of creators whom nobody follows: how many are seen, how soon, and by whom."""

import numpy as np
import pytest

from simulation.judge import run
from simulation.law import DAY_MS, HOUR_MS
from simulation.newcomers import NONE, new_videos
from simulation.policies import Uniform
from simulation.room import Room


@pytest.fixture(scope="module")
def room(lived):
    """Two days after a small world's history, with 30 viewers."""
    room = Room(lived[0].copied())
    for viewer in range(30):
        room.sit(viewer)
    for _ in range(2):
        room.open_day()
    return room


def measured(room, known, views):
    viewer, video, time_ms = (np.array(column, np.int64) for column in zip(*views, strict=True))
    return new_videos(room, known, room.world.day_start_ms(room.world.day + 1), viewer, video, time_ms)


def unknown(room, known):
    """The first new video of a creator without a follower, uploaded on the first of the two days."""
    videos, first = room.world.videos, room.world.day_start_ms(room.world.day)
    followed = set(room.world.follows.author.tolist())
    return next(
        v for v in range(known, len(videos)) if videos.author[v] not in followed and videos.upload_ms[v] < first
    )


def test_three_views_on_the_first_day_are_an_audience_and_the_third_ends_the_wait(room, lived):
    known = len(lived[0].videos)
    video = unknown(room, known)
    upload_ms = int(room.videos.upload_ms[video])
    views = [(viewer, video, upload_ms + hour * HOUR_MS) for viewer, hour in ((4, 5), (1, 2), (2, 3), (3, 30))]
    report = measured(room, known, views)
    assert report.videos >= 1
    assert report.shown * report.videos == pytest.approx(1) and report.audience == report.shown
    assert report.hours == pytest.approx(5), "the view of the second day does not count"


def test_the_match_is_one_for_whom_it_appeals_to_most_and_zero_for_whom_least(room, lived):
    known = len(lived[0].videos)
    video = unknown(room, known)
    places = sorted(
        (measured(room, known, [(viewer, video, int(room.videos.upload_ms[video]) + 1)]).match, viewer)
        for viewer in range(30)
    )
    assert places[0][0] == 0.0 and places[-1][0] == 1.0
    assert np.mean([place for place, _ in places]) == pytest.approx(0.5)


def test_what_came_too_late_for_a_whole_day_is_left_out(room, lived):
    last_day = room.world.day_start_ms(room.world.day)
    known = int(np.searchsorted(room.world.videos.upload_ms, last_day))
    assert measured(room, known, [(0, known, last_day + DAY_MS // 2)]) == NONE


def test_a_judged_policy_says_how_its_new_videos_fared(lived):
    result = run(lived[0], Uniform(np.random.default_rng(0)), days=2, viewers=40)
    assert result.new_videos.videos > 0 and 0 <= result.new_videos.audience <= result.new_videos.shown <= 1
