"""What a viewer does on a page changes the very next one, though another process was told and no worker has counted it.

Videos are of eight kinds (their number's rest by 8) and worth less the higher their number; a page has five.
"""

import asyncio

import msgspec
import pytest

from core.events import (
    Follow,
    HideAuthor,
    Like,
    NotInterested,
    Report,
    Save,
    Unfollow,
    UnhideAuthor,
    Unlike,
    Unsave,
    Watch,
)
from core.ports import Record
from features.layout import VIEWER_DTYPE
from features.packed import record_of
from feeds.told_events import ToldEvents, counted
from tests.features.worldlet import history
from tests.feeds.test_for_you import names
from tests.feeds.toy_cluster import ToyCluster
from tests.feeds.toy_feed import NOW_MS, ids


@pytest.fixture
def cluster(tmp_path):
    return ToyCluster(tmp_path)


@pytest.fixture(params=["not counted yet", "counted"])
def told(request, cluster):
    """Tell process a; the worker has counted it or not."""
    number = 0

    def tell(kind, **fields):
        nonlocal number
        number += 1
        cluster.now_ms += 1
        event = kind(event_id=f"e{number}", viewer_id="ann", time_ms=NOW_MS + number, **fields)
        cluster.both[0].tell(event)
        if request.param == "counted":
            cluster.work()

    return tell


def watch(told, video, share=0.5):
    told(Watch, video_id=video, play_ms=int(share * 20_000), length_ms=20_000)


def test_without_a_reaction_the_next_page_goes_on_by_number(cluster, told):
    a, b = cluster.both
    assert ids(a.page()) == names(0, 1, 2, 3, 4)
    watch(told, "v0")
    assert ids(b.page()) == names(5, 6, 7, 8, 9)


def test_a_skip_counts_against_its_kind(cluster, told):
    a, b = cluster.both
    a.page()
    watch(told, "v0", 0.01)
    assert ids(b.page()) == names(5, 6, 7, 9, 10)  # 8 is of the kind of 0


def test_a_video_marked_as_not_interesting_counts_against_its_kind(cluster, told):
    a, b = cluster.both
    a.page()
    watch(told, "v1")
    told(NotInterested, video_id="v1")
    assert ids(b.page()) == names(5, 6, 7, 8, 10)  # 9 is of the kind of 1


@pytest.mark.parametrize("kind", [NotInterested, Report])
def test_it_counts_as_much_where_no_watch_of_it_was_reported(cluster, told, kind):
    a, b = cluster.both
    a.page()
    told(kind, video_id="v1")
    assert ids(b.page()) == names(5, 6, 7, 8, 10) and ids(a.page()) == names(11, 12, 13, 14, 15)
    assert ids(b.page()) == names(16, 18, 19, 20, 21)  # 17 is of the kind of 1 as well


@pytest.mark.parametrize(("kind", "undone"), [(Like, Unlike), (Save, Unsave)])
def test_a_like_without_a_watch_counts_until_it_is_taken_back(cluster, told, kind, undone):
    a, b = cluster.both
    a.page()
    told(kind, video_id="v1")
    assert ids(b.page(limit=2)) == names(9, 17)  # worth 30 more: of the kind of 1
    told(undone, video_id="v1")
    assert ids(b.page(limit=2)) == names(5, 6)


@pytest.mark.parametrize(("kind", "undone"), [(Like, Unlike), (Save, Unsave)])
def test_a_like_counts_for_its_kind_until_it_is_taken_back(cluster, told, kind, undone):
    a, b = cluster.both
    first = a.page()
    watch(told, "v1")
    told(kind, video_id="v1")
    assert ids(b.page(limit=2)) == names(9, 17)  # worth 30 more: 9 is of the kind of 1
    shown = b.page(page=0).videos[1].user_interaction
    assert (shown.liked, shown.saved) == (kind is Like, kind is Save)
    told(undone, video_id="v1")
    assert ids(b.page(limit=2)) == names(5, 6)
    shown = a.page(page=0).videos[1].user_interaction
    assert (shown.liked, shown.saved) == (False, False) and ids(a.page(page=0)) == ids(first)


def test_a_follow_counts_until_it_is_ended(cluster, told):
    a, b = cluster.both
    a.page()
    told(Follow, author_id="a3")  # of the videos 3, 9, 15, ...
    assert ids(b.page(limit=2)) == names(9, 15)
    told(Unfollow, author_id="a3")
    assert ids(b.page(limit=2)) == names(5, 6)


def test_a_hidden_author_is_gone_until_that_is_taken_back(cluster, told):
    a, b = cluster.both
    first = a.page()
    told(HideAuthor, author_id="a1")  # of the videos 1, 7, 13, ...
    assert ids(b.page(limit=3)) == names(5, 6, 8) and ids(b.page(page=0)) == names(0, 2, 3, 4)
    told(UnhideAuthor, author_id="a1")
    assert ids(b.page(limit=2)) == names(7, 9) and ids(b.page(page=0)) == ids(first)


def test_what_is_counted_into_a_copy_equals_what_the_worker_will_write(cluster):
    a, _ = cluster.both
    events = [record.event for record in history(cluster.state.table, 60, viewers=1)]
    a.tell(*events[:40])
    cluster.work()
    a.tell(*events[40:])
    before = record_of(asyncio.run(cluster.features.read("viewer", ["u0"]))[0], VIEWER_DTYPE)
    told = asyncio.run(a.parts.readers.told.read("u0"))
    assert len(told) == len(events)
    mine = counted(before, told, cluster.state, cluster.now_ms)
    cluster.work()
    theirs = record_of(asyncio.run(cluster.features.read("viewer", ["u0"]))[0], VIEWER_DTYPE)
    for name in set(VIEWER_DTYPE.names) - {"applied_us", "checksum", "schema"}:
        assert mine[name].tobytes() == theirs[name].tobytes(), name
    assert counted(theirs, told, cluster.state, cluster.now_ms) is theirs


def test_what_a_worker_could_count_otherwise_is_left_to_it(cluster):
    """By another catalogue a video may have another topic; where as much was told as is kept, some may be missing."""
    row = cluster.state.new_viewer(None)
    like = Like(event_id="l", viewer_id="ann", video_id="v0", time_ms=NOW_MS, catalogue_offset=5)
    assert counted(row, [Record(7, like)], cluster.state, cluster.now_ms, 5)["version"][0] == 7
    assert counted(row, [Record(7, like)], cluster.state, cluster.now_ms, 6) is row
    many = [Record(7 + at, msgspec.structs.replace(like, event_id=f"l{at}")) for at in range(500)]
    assert counted(row, many, cluster.state, cluster.now_ms, 5) is row
    assert counted(row, many[1:], cluster.state, cluster.now_ms, 5)["version"][0] == 506


def test_an_event_that_stands_twice_on_the_log_is_told_once(cluster):
    told = ToldEvents(cluster.ranked)
    event = Like(event_id="l", viewer_id="ann", video_id="v0", time_ms=NOW_MS)
    asyncio.run(told.tell([Record(7, event)]))
    asyncio.run(told.tell([Record(9, event)]))
    assert asyncio.run(told.read("ann")) == (Record(7, event),)


def test_a_member_that_is_none_of_ours_is_passed_over(cluster):
    told = ToldEvents(cluster.ranked)
    asyncio.run(cluster.ranked.add({"{ann}:told": {"garbage ключ": 1.0, "more": 2.0}}, 10, 1_000))
    assert asyncio.run(told.read("ann")) == ()
