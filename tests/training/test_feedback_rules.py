"""What each reported event, and the absence of one, becomes: the rules of the join."""

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from core.events import Comment, Follow, HideAuthor, Impression, Like, NotInterested, Save, Share, Unlike
from features.layout import DAY_MS, HOUR_MS, MINUTE_MS
from tests.training.feedback_world import NOON_MS, Feedback
from training.config import TrainConfig
from training.feedback.labels import weights_of
from training.feedback.rules import LONGEST_WINDOW_MS, RULES, JoinConfig
from training.standing import STANDING

WATCH_HEADS = ("long_view", "click", "skip", "completion", "watch_ratio", "watch_time")
REACTIONS = ("like", "comment", "share", "save", "follow", "negative")


@pytest.fixture
def world(tmp_path):
    return Feedback(tmp_path)


def labels(row, names=WATCH_HEADS + REACTIONS):
    return {name: row[f"label_{name}"] for name in names}


def same(one, other):
    return all((math.isnan(one[n]) and math.isnan(other[n])) or one[n] == other[n] for n in other)


def test_every_head_that_is_trained_has_a_rule_that_nobody_can_change():
    # The standing is made of the rows' watch times, by whoever trains on them.
    assert {config.column for config in TrainConfig().heads} - {STANDING} <= {rule.head for rule in RULES}
    with pytest.raises(FrozenInstanceError):
        RULES[0].window_ms = 1


def test_a_video_that_was_served_and_never_shown_is_no_row(world):
    world.serve(videos=("v1", "v2"))
    world.shown(video="v1")
    report, rows = world.rows()
    assert [row["video_id"] for row in rows] == ["v1"]
    assert (report.served, report.not_loaded, report.rows) == (2, 1, 1)


def test_a_watch_gives_its_labels_and_reactions_that_were_not_reported_are_0(world):
    world.serve()
    world.shown()
    world.watched(play_ms=10_000, length_ms=20_000)
    (row,) = world.rows()[1]
    # half of 20 s: a click (3 s), neither long view (18 s) nor completion nor skip
    assert labels(row, WATCH_HEADS) == dict(zip(WATCH_HEADS, (0, 1, 0, 0, 0.5, 10), strict=True))
    assert set(labels(row, REACTIONS).values()) == {0.0}
    assert (row["served_ms"], row["shown_ms"], row["play_ms"]) == (NOON_MS, NOON_MS + 1_000, 10_000)


@pytest.mark.parametrize(
    ("kind", "head", "fields"),
    [(Like, "like", {}), (Comment, "comment", {}), (Share, "share", {}), (Save, "save", {}),
     (Follow, "follow", {"author_id": "a"}), (NotInterested, "negative", {}),
     (HideAuthor, "negative", {"author_id": "a"})],
)  # fmt: skip
def test_a_reaction_within_its_window_is_1_and_the_others_stay_0(world, kind, head, fields):
    world.serve()
    world.shown()
    world.watched()
    world.happen(world.event(kind, at_ms=NOON_MS + 20_000, **fields))
    (row,) = world.rows()[1]
    assert {name for name, value in labels(row, REACTIONS).items() if value} == {head}


def test_a_like_that_was_taken_back_was_felt_and_counts(world):
    world.serve()
    world.shown()
    world.watched()
    world.liked(at_ms=NOON_MS + 20_000)
    world.happen(world.event(Unlike, at_ms=NOON_MS + 30_000))
    assert world.rows()[1][0]["label_like"] == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.head)
def test_the_window_of_each_head_ends_with_its_last_millisecond(world, rule):
    for slate, beyond in (("in", 0), ("out", 1)):
        world.serve(slate, videos=(f"v-{slate}",), viewer=slate)
        where = {"slate": slate, "video": f"v-{slate}", "viewer": slate}
        world.shown(at_ms=NOON_MS, **where)
        at_ms = NOON_MS + rule.window_ms + beyond
        if rule.of_watch:
            world.watched(play_ms=20_000, at_ms=at_ms, **where)
        else:
            world.watched(at_ms=NOON_MS + 5, **where)
            kind = {"like": Like, "comment": Comment, "share": Share, "save": Save, "follow": Follow}.get(rule.head)
            fields = {"author_id": "a"} if rule.head == "follow" else {}
            world.happen(world.event(kind or NotInterested, at_ms=at_ms, **where, **fields))
    report, rows = world.rows()
    inside, outside = (next(r for r in rows if r["slate_id"] == slate) for slate in ("in", "out"))
    if rule.of_watch:
        assert not math.isnan(inside[f"label_{rule.head}"]) and math.isnan(outside[f"label_{rule.head}"])
    else:
        assert (inside[f"label_{rule.head}"], outside[f"label_{rule.head}"]) == (1, 0)
    assert report.after_window == 1


def test_left_at_once_and_gone_on_to_the_next_is_a_skip_of_unknown_length(world):
    world.serve(videos=("v1", "v2"))
    world.shown(video="v1", at_ms=NOON_MS + 1_000)
    world.shown(video="v2", at_ms=NOON_MS + 2_000)
    world.watched(video="v2")
    report, (left, _) = world.rows()
    wanted = {"long_view": 0, "click": 0, "skip": 1, "completion": 0, "watch_ratio": math.nan, "watch_time": math.nan}
    assert same(labels(left, WATCH_HEADS), wanted)
    assert set(labels(left, REACTIONS).values()) == {0.0}
    assert (report.left_at_once, report.watched, report.unknown_end) == (1, 1, 0)


def test_shown_last_without_a_watch_is_unknown_except_for_what_was_reported(world):
    world.serve()
    world.shown()
    world.liked(at_ms=NOON_MS + 3_000)
    report, (row,) = world.rows()
    assert all(math.isnan(value) for value in labels(row, WATCH_HEADS).values())
    known = {name: value for name, value in labels(row, REACTIONS).items() if not math.isnan(value)}
    assert known == {"like": 1} and report.unknown_end == 1


def test_someone_who_comes_back_an_hour_later_did_not_go_on(world):
    world.serve("s1")
    world.serve("s2", videos=("v2",), at_ms=NOON_MS + HOUR_MS)
    world.shown(slate="s1")
    world.shown(slate="s2", video="v2", at_ms=NOON_MS + HOUR_MS + 1_000)
    assert world.rows()[0].unknown_end == 2


def test_the_same_impression_reported_twice_is_one_row_of_the_first(world):
    world.serve()
    world.shown(at_ms=NOON_MS + 5_000)
    world.shown(at_ms=NOON_MS + 1_000)
    world.watched()
    report, (row,) = world.rows()
    assert row["shown_ms"] == NOON_MS + 1_000 and report.repeated_impressions == 1


class Twice:
    """A slate log that delivers every slate twice, under places of its own."""

    def __init__(self, slates):
        self._slates = slates

    async def logged(self, after, limit):
        every = [entry for entry in await self._slates.logged(0, 10_000) for _ in range(2)]
        return [(place, *entry[1:]) for place, entry in enumerate(every, 1) if place > after][:limit]


def test_a_slate_that_comes_twice_on_the_log_or_on_two_pages_is_one_set_of_rows(world):
    world.serve()
    world.shown()
    world.slates = Twice(world.slates)
    report, rows = world.rows()
    assert len(rows) == 1 and (report.slates, report.repeated_slates) == (1, 1)


def test_a_report_that_names_no_slate_belongs_to_the_latest_impression_before_it(world):
    world.serve("s1")
    world.serve("s2", at_ms=NOON_MS + MINUTE_MS)
    world.shown(slate="s1", at_ms=NOON_MS + 1_000)
    world.shown(slate="s2", at_ms=NOON_MS + MINUTE_MS + 1_000)
    world.liked(slate="", at_ms=NOON_MS + 2_000)
    world.watched(slate="", at_ms=NOON_MS + MINUTE_MS + 9_000)
    first, second = world.rows()[1]
    assert (first["label_like"], second["label_like"]) == (1, 0)
    assert (first["label_skip"], second["label_watch_time"]) == (1, 10)


def test_a_report_that_names_its_slate_belongs_to_it_whatever_came_later(world):
    world.serve("s1")
    world.serve("s2", at_ms=NOON_MS + MINUTE_MS)
    world.shown(slate="s1", at_ms=NOON_MS + 1_000)
    world.shown(slate="s2", at_ms=NOON_MS + MINUTE_MS + 1_000)
    world.liked(slate="s1", at_ms=NOON_MS + 2 * MINUTE_MS)
    first, second = world.rows()[1]
    assert first["label_like"] == 1 and second["label_like"] != 1


def test_reports_of_other_viewers_and_other_videos_change_nothing(world):
    world.serve(videos=("v1", "v2"))
    world.shown()
    world.watched()
    world.liked(viewer="bob")
    world.liked(video="v2", at_ms=NOON_MS + 20_000)
    assert [row["label_like"] for row in world.rows()[1]] == [0]


def test_an_impression_hours_after_its_slate_is_of_a_page_that_nobody_waited_for(world):
    world.serve()
    world.shown(at_ms=NOON_MS + JoinConfig().shown_window_ms + 1)
    assert world.rows()[0].not_loaded == 1


def test_a_report_that_arrives_after_the_day_is_final_is_counted_and_left_out(world):
    world.serve()
    world.shown()
    world.watched()
    final_ms = JoinConfig().final_at_ms(NOON_MS + DAY_MS // 2)
    world.liked(at_ms=NOON_MS + 20_000, arrived_ms=final_ms + 1)
    report, (row,) = world.rows()
    assert row["label_like"] == 0 and report.arrived_late == 1


def test_a_report_that_arrives_in_the_last_moment_counts(world):
    world.serve()
    world.shown()
    world.watched()
    world.liked(at_ms=NOON_MS + 20_000, arrived_ms=JoinConfig().final_at_ms(NOON_MS + DAY_MS // 2))
    assert world.rows()[1][0]["label_like"] == 1


def test_exploration_weighs_as_the_inverse_of_its_propensity_up_to_a_bound(world):
    world.serve(videos=("v1", "v2", "v3"), propensities=(0.5, 0.01, 1.0))
    for video in ("v1", "v2", "v3"):
        world.shown(video=video)
    rows = world.rows()[1]
    assert [row["weight"] for row in rows] == [2.0, 10.0, 1.0]
    assert [round(row["propensity"], 6) for row in rows] == [0.5, 0.01, 1.0]


def test_a_slate_that_was_not_random_weighs_1():
    assert weights_of(np.array([np.nan, 0.25], np.float32), JoinConfig()).tolist() == [1.0, 4.0]


def test_a_slate_without_feature_rows_is_counted_and_gives_none(world):
    world.serve(detail=False)
    world.shown()
    report, rows = world.rows()
    assert rows == [] and report.without_features == 1


def test_a_day_is_final_when_the_longest_window_of_its_last_impression_has_passed():
    config = JoinConfig()
    assert LONGEST_WINDOW_MS == DAY_MS
    # 6 h to be shown, 24 h to react, 1 h to arrive
    assert config.final_at_ms(0) == 31 * HOUR_MS


def test_an_impression_has_to_come_before_its_reactions(world):
    world.serve()
    world.happen(world.event(Impression, at_ms=NOON_MS + 5_000))
    world.watched()
    world.liked(at_ms=NOON_MS + 4_000)
    assert world.rows()[1][0]["label_like"] == 0
