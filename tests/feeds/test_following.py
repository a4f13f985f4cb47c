"""The Following surface over embedded stores: strictly by time, and everything that changes counts at once."""

import asyncio
from types import SimpleNamespace

import pytest

from core.errors import CursorError, Unavailable
from core.events import Block, Follow, HideAuthor, Like, Unfollow, VideoPublished, VideoRemoved, VideoUpdated
from core.settings import Settings
from feeds.cursor import CursorSigner, TimePlaceSigner
from feeds.following import FollowingFeed, FollowingParts
from feeds.hydrate import Readers
from feeds.views import Views
from tests.feeds.toy_feed import NOW_MS, ToyFeed, ids

HOUR_MS = 3_600_000


class Toy(ToyFeed):
    """A Following feed beside the For-You feed; three authors of its own publish by the hour."""

    def __init__(self, folder, **replaced):
        super().__init__(folder)
        stores = {"features": self.features, "history": self.history, "tables": self.tables, "slates": self.slates}
        readers, settings = Readers(**(stores | replaced)), Settings(request_deadline_ms=200)
        self.following = FollowingFeed(
            FollowingParts(
                readers=readers, views=Views(readers, self.videos, self.state, 100), state=self.state,
                signer=TimePlaceSigner(b"k" * 32, "following"), refresh=self.processor.catch_up,
                clock=lambda: self.now_ms, later=self._later, deadline_ms=100,
                cursor_ttl_ms=settings.cursor_ttl_s * 1000,
            )
        )  # fmt: skip
        self.events = 0
        for number, author in enumerate(["fay", "gus", "fay", "gus", "hal", "fay"]):
            self.publish(f"f{number}", author, NOW_MS + number * HOUR_MS)

    def act(self, kind, **fields):
        self.events += 1
        self.happen(kind(event_id=f"x{self.events}", time_ms=NOW_MS + self.events, **fields))

    def publish(self, video, author, upload_ms, **fields):
        fields |= {"video_id": video, "author_id": author, "viewer_id": author, "length_ms": 9_000}
        self.act(VideoPublished, upload_ms=upload_ms, **fields)

    def follow(self, *authors, viewer="ann"):
        for author in authors:
            self.act(Follow, viewer_id=viewer, author_id=author)

    def shown(self, viewer="ann", size=20, cursor=None):
        return asyncio.run(self.following.page(viewer, page_size=size, cursor=cursor))


@pytest.fixture
def toy(tmp_path):
    return Toy(tmp_path)


def test_only_followed_authors_are_shown_newest_first(toy):
    toy.follow("fay", "gus", "nobody")
    page = toy.shown()
    assert ids(page) == ["f5", "f3", "f2", "f1", "f0"]
    assert (page.has_more, page.next_cursor, page.degraded) == (False, None, ())
    assert ids(toy.shown("bob")) == []


def test_pages_neither_shift_nor_repeat_when_newer_videos_come(toy):
    toy.follow("fay", "gus")
    first = toy.shown(size=2)
    assert (ids(first), first.has_more) == (["f5", "f3"], True)
    toy.publish("f9", "gus", NOW_MS + 9 * HOUR_MS)
    second = toy.shown(size=2, cursor=first.next_cursor)
    assert ids(second) == ids(toy.shown(size=2, cursor=first.next_cursor)) == ["f2", "f1"]
    third = toy.shown(size=2, cursor=second.next_cursor)
    assert (ids(third), third.has_more, third.next_cursor) == (["f0"], False, None)
    assert ids(toy.shown(size=2)) == ["f9", "f5"]


def test_videos_of_one_moment_are_parted_by_their_ids(toy):
    for video in ("t1", "t3", "t2"):
        toy.publish(video, "ivy", NOW_MS)
    toy.follow("ivy")
    first = toy.shown(size=1)
    second = toy.shown(size=2, cursor=first.next_cursor)
    assert (ids(first), ids(second), second.has_more) == (["t3"], ["t2", "t1"], False)


@pytest.mark.parametrize(
    ("kind", "viewer", "author"),
    [(Unfollow, "ann", "fay"), (Block, "ann", "fay"), (Block, "fay", "ann"), (HideAuthor, "ann", "fay")],
)
def test_who_is_unfollowed_blocked_or_hidden_is_gone_from_every_page(toy, kind, viewer, author):
    toy.follow("fay", "gus")
    first = toy.shown(size=2)
    toy.act(kind, viewer_id=viewer, author_id=author)
    assert ids(toy.shown()) == ["f3", "f1"]
    assert ids(toy.shown(cursor=first.next_cursor)) == ["f1"]


def test_what_is_deleted_or_no_longer_public_is_gone_and_comes_back_when_public(toy):
    toy.follow("fay")
    toy.act(VideoRemoved, viewer_id="fay", video_id="f5")
    toy.act(VideoUpdated, viewer_id="fay", video_id="f2", visibility="private")
    assert ids(toy.shown()) == ["f0"]
    toy.act(VideoUpdated, viewer_id="fay", video_id="f2", visibility="friends")
    assert ids(toy.shown()) == ["f0"]
    toy.act(VideoUpdated, viewer_id="fay", video_id="f2", visibility="public")
    toy.act(VideoUpdated, viewer_id="fay", video_id="f5", visibility="public")  # a deleted one stays deleted
    assert ids(toy.shown()) == ["f2", "f0"]


def test_how_the_viewer_stands_to_a_video_is_shown(toy):
    toy.follow("hal")
    toy.act(Like, viewer_id="ann", video_id="f4")
    [video] = toy.shown().videos
    assert (video.user_interaction.liked, video.stats.likes, video.user.user_id) == (True, 1, "hal")


def test_a_bad_cursor_is_one_sentence(toy):
    toy.follow("fay")
    cursor = toy.shown(size=1).next_cursor
    with pytest.raises(CursorError, match="another viewer"):
        toy.shown("bob", cursor=cursor)
    with pytest.raises(CursorError, match="altered"):
        toy.shown(cursor=cursor[:-4] + "AAAA")
    with pytest.raises(CursorError, match="altered or was signed elsewhere"):  # one of the For-You feed
        toy.shown(cursor=toy.page("ann").cursor)
    with pytest.raises(CursorError, match="elsewhere"):
        CursorSigner(b"k" * 32).read(cursor, "ann", NOW_MS)
    toy.now_ms += 1_800_001
    with pytest.raises(CursorError, match="expired"):
        toy.shown(cursor=cursor)


def test_unknown_blocks_give_an_empty_page_and_late_reactions_only_a_poorer_one(tmp_path):
    async def fails(*_):
        raise Unavailable("The store does not answer.")

    away = SimpleNamespace(relations=fails, users=fails)
    unsafe = Toy(tmp_path / "a", tables=away).shown()
    assert (ids(unsafe), unsafe.has_more, unsafe.degraded) == ([], False, ("relations", "safety_unknown"))
    toy = Toy(tmp_path / "b", history=SimpleNamespace(reactions=fails))
    toy.follow("fay")
    poorer = toy.shown()
    assert (ids(poorer), poorer.degraded) == (["f5", "f2", "f0"], ("reactions",))
