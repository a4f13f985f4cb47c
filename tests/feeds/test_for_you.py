"""Pages of the For-You feed: sessions go on, what was seen or banned stays away, and lateness degrades."""

import asyncio

import msgspec
import numpy as np
import pytest

from core.errors import CursorError, Unavailable
from core.events import Block, Comment, HideAuthor, Impression, Like, NotInterested, Save, Share, VideoRemoved, Watch
from feeds.config import ForYouConfig
from feeds.page import FeedPage
from feeds.surfaces import for_you
from tests.feeds.toy_feed import NOW_MS, EveryVideo, ToyFeed, ToyModels, ids


@pytest.fixture
def toy(tmp_path):
    return ToyFeed(tmp_path)


def names(*numbers):
    return [f"v{number}" for number in numbers]


def seen(*numbers, viewer="ann"):
    return [Impression(event_id=f"i{viewer}{n}", viewer_id=viewer, video_id=f"v{n}", time_ms=NOW_MS) for n in numbers]


def test_pages_follow_one_another_without_repeats_and_the_feed_never_has_a_hole(toy):
    first, second = toy.page(), toy.page()
    assert (ids(first), ids(second)) == (names(0, 1, 2, 3, 4), names(5, 6, 7, 8, 9))
    assert (first.next_page, second.next_page, first.has_more) == (1, 2, True)


def test_a_page_that_was_served_is_the_same_page_again_whatever_was_seen_of_it(toy):
    first = toy.page(page=0)
    again = toy.page(page=0)
    assert (again.slate_id, ids(again)) == (first.slate_id, ids(first))
    second = toy.page(cursor=first.cursor)
    toy.happen(*seen(0, 6))
    for again in (toy.page(cursor=first.cursor), toy.page(page=1)):
        assert (again.slate_id, ids(again)) == (second.slate_id, ids(second))
    assert ids(toy.page(page=0)) == ids(first)


def test_page_zero_starts_a_session_once_the_last_page_is_over_half_an_hour_old(toy):
    first = toy.page(page=0)
    toy.happen(*seen(0))
    toy.now_ms += 1_800_000
    assert ids(toy.page(page=0)) == ids(first)
    toy.now_ms += 1
    fresh = toy.page(page=0)
    assert fresh.slate_id != first.slate_id and ids(fresh) == names(1, 2, 3, 4, 5)


def test_a_cursor_goes_on_with_its_session_though_that_was_idle_or_its_slates_were_lost(toy):
    toy.page(page=0)
    toy.now_ms += 1_700_000
    cursor = toy.page(page=0).cursor  # read again: a young cursor of an old page
    toy.now_ms += 1_700_000
    second = toy.page(cursor=cursor)
    assert (ids(second), second.next_page) == (names(5, 6, 7, 8, 9), 2)

    async def nothing(viewer, limit):
        return []

    toy.slates.latest = nothing
    third = toy.page(cursor=second.cursor)
    session = {asyncio.run(toy.slates.get(page.slate_id)).session_id for page in (second, third)}
    assert third.next_page == 3 and len(session) == 1


def test_requests_at_once_for_the_same_page_get_the_same_slate(toy):
    async def both():
        asked = [toy.feed.page("ann", page=0, limit=5, cursor=None, device="") for _ in range(4)]
        return await asyncio.gather(*asked)

    assert len({page.slate_id for page in asyncio.run(both())}) == 1


def test_a_page_beyond_the_session_is_its_next_page(toy):
    toy.page()
    assert ids(toy.page(page=17)) == names(5, 6, 7, 8, 9)


def test_what_must_not_come_does_not_come(toy):
    facts = {"viewer_id": "ann", "time_ms": NOW_MS}
    toy.happen(
        *seen(0),
        Block(event_id="b", author_id="a1", **facts),
        HideAuthor(event_id="h", author_id="a2", **facts),
        Block(event_id="c", viewer_id="a3", author_id="ann", time_ms=NOW_MS),
        VideoRemoved(event_id="r", viewer_id="a4", video_id="v4", time_ms=NOW_MS),
    )
    # authors are row % 6: 1 and 2 are banned, 3 blocked the viewer
    assert ids(toy.page(limit=6)) == names(5, 6, 10, 11, 12, 16)
    assert ids(toy.page(viewer="a0", limit=3)) == names(1, 2, 3)


def test_what_was_banned_after_it_was_served_leaves_the_slate(toy):
    first = toy.page(page=0)
    toy.happen(Block(event_id="b", viewer_id="ann", author_id="a3", time_ms=NOW_MS))
    assert ids(toy.page(page=0)) == names(0, 1, 2, 4) and toy.page(page=0).slate_id == first.slate_id


def test_a_disliked_video_makes_its_like_worth_less(toy):
    plain = ids(toy.page(viewer="bob", limit=3))
    facts = {"viewer_id": "ann", "video_id": "v0", "time_ms": NOW_MS}
    toy.happen(Watch(event_id="w", play_ms=1, length_ms=9, **facts), NotInterested(event_id="n", **facts))
    assert plain == names(0, 1, 2) and ids(toy.page(limit=3)) == names(1, 2, 3)


class Alike(ToyModels):
    """v7 is like v0."""

    def content(self, rows):
        return super().content(np.where(rows == 7, 0, rows))


@pytest.mark.parametrize("reaction", [Like, Save, Share, Comment])
def test_a_video_liked_in_this_session_makes_its_like_worth_more(toy, reaction):
    config = ForYouConfig(author_cap=40, author_weight=0, topic_weight=0, like_weight=4.5)
    toy.surface = for_you((EveryVideo(toy.state.table),), toy.state.table, Alike(), config)
    facts = {"viewer_id": "ann", "video_id": "v0", "time_ms": NOW_MS}
    toy.happen(Watch(event_id="w", play_ms=1, length_ms=9, **facts), reaction(event_id="l", **facts))
    assert ids(toy.page(limit=4)) == names(1, 2, 7, 3)  # worth 7 - 4.5 places
    toy.now_ms += 1_800_001  # another session: what was liked in the last one is for the heads to know
    assert ids(toy.page(limit=4)) == names(1, 2, 3, 4)


def test_an_empty_catalogue_page_says_that_nothing_is_left(toy):
    for _ in range(8):
        toy.page()
    empty = toy.page()
    assert (ids(empty), empty.has_more, empty.cursor, empty.next_page) == ([], False, None, None)
    assert "nothing_left" in empty.degraded


@pytest.mark.parametrize("cursor", ["garbage", "AAAA"])
def test_a_cursor_that_we_did_not_give_is_refused(toy, cursor):
    with pytest.raises(CursorError):
        toy.page(cursor=cursor)


def test_a_cursor_of_another_viewer_or_too_old_is_refused(toy):
    cursor = toy.page().cursor
    with pytest.raises(CursorError, match="another viewer"):
        toy.page(viewer="bob", cursor=cursor)
    toy.now_ms += 1_800_001
    with pytest.raises(CursorError, match="expired"):
        toy.page(cursor=cursor)


class Late:
    """A store of which every read is late, or away."""

    def __init__(self, error=None):
        self._error = error

    def __getattr__(self, name):
        async def read(*_):
            if self._error:
                raise self._error
            await asyncio.sleep(5)

        return read


@pytest.mark.parametrize("error", [None, Unavailable("away")])
@pytest.mark.parametrize(("store", "parts"), [("features", ["features"]), ("history", ["seen", "reactions"])])
def test_a_part_that_is_late_or_away_is_left_out_and_named(tmp_path, store, parts, error):
    page = ToyFeed(tmp_path, **{store: Late(error)}).page()
    assert ids(page) == names(0, 1, 2, 3, 4) and sorted(page.degraded) == sorted(parts)


@pytest.mark.parametrize("error", [None, Unavailable("away")])
def test_unknown_blocks_show_nothing_rather_than_what_must_not_be_shown(tmp_path, error):
    page = ToyFeed(tmp_path, tables=Late(error)).page()
    assert (ids(page), page.slate_id, page.has_more) == ([], "", False)
    assert "safety_unknown" in page.degraded and "relations" in page.degraded


def test_a_slate_that_cannot_be_recorded_is_not_served(tmp_path):
    toy = ToyFeed(tmp_path)

    async def full(slate):
        raise Unavailable("The disk is full.")

    toy.slates.append = full
    with pytest.raises(Unavailable):
        toy.page()


def test_what_is_served_was_recorded_with_what_explains_it(toy):
    page = toy.page()
    slate = asyncio.run(toy.slates.get(page.slate_id))
    assert list(slate.video_ids) == ids(page) and set(slate.sources) == {"every"}
    assert (slate.bundle_id, slate.applied_offset, slate.page) == ("b1", 40, 0)
    assert asyncio.run(toy.slates.get_detail(page.slate_id)) is not None


def test_the_response_has_every_field_of_the_spec(toy):
    toy.happen(
        *[Like(event_id="l", viewer_id="ann", video_id="v1", time_ms=NOW_MS)],
        Watch(event_id="w", viewer_id="bob", video_id="v0", time_ms=NOW_MS, play_ms=9_000, length_ms=9_000),
    )
    document = msgspec.json.decode(msgspec.json.encode(toy.page()))
    assert set(document) == set(FeedPage.__struct_fields__)
    first, second = document["videos"][:2]
    assert first.pop("duration_sec") == toy.state.table.length_ms[0] / 1000
    assert first == {
        "video_id": "v0", "title": "Video v0", "description": "", "category": "t0", "hashtags": [],
        "user": {"user_id": "a0", "username": "zero", "display_name": "User a0",
                 "avatar_url": "/media/avatars/a0.jpg", "verified": True},
        "created_at": int(toy.state.table.upload_ms[0]), "thumbnail_url": "/media/videos/v0/thumb.jpg",
        "urls": {f"{p}p": f"/media/videos/v0/{p}p/playlist.m3u8" for p in (360, 720, 1080)},
        "stats": {"views": 1, "likes": 0, "comments": 0, "shares": 0},
        "user_interaction": {"liked": False, "saved": False},
        "music": {"music_id": "", "title": "", "artist": ""},
    }  # fmt: skip
    assert second["user_interaction"]["liked"] and second["stats"]["likes"] == 1
    assert {"title", "urls", "user.display_name", "user.username"} <= set(document["made_up"])


def test_the_surface_can_be_printed_and_ends_with_its_selector(toy):
    listed = toy.surface.components()
    assert listed[0] == ("source", "every") and listed[-1] == ("selector", "exploration")
    kinds = [kind for kind, _ in listed]
    assert kinds.count("filter") == 7 and len({name for _, name in listed}) == len(listed)
