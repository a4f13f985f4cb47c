"""Pages of Trending in a home: what leaves, whatever a board still holds, and how often a board is made."""

import asyncio
import random

import pytest

from backends.memory import MemoryBytes
from backends.sqlite.database import Database
from backends.sqlite.trend_state import SqliteTrendState
from core.catalogue import ViewerRecord
from core.errors import CursorError, Unavailable
from core.events import Block, HideAuthor, Like, Unblock, VideoRemoved, VideoUpdated, Watch
from feeds.cursor import BoardPlaceSigner
from feeds.hydrate import Readers
from feeds.trending.board import BoardKey
from feeds.trending.boards import Boards
from feeds.trending.config import TrendingConfig
from feeds.trending.feed import TrendingFeed, TrendingParts
from feeds.trending.home import HomeTrends
from feeds.views import Views
from tests.feeds.toy_feed import ToyFeed
from tests.feeds.trending_story import published

DAY = BoardKey()


class Away:
    """Tables that do not answer."""

    async def relations(self, viewer_id):
        raise Unavailable("The tables are away.")


class ToyTrending(ToyFeed):
    """Trending over the toy's stores; `w5` is new and was watched by five viewers from US, `w4` by four, to `w1`."""

    def __init__(self, folder, shared=None, **replaced):
        super().__init__(folder)
        self.looks, self.config = [], TrendingConfig(counts_s=30.0)
        self.state_of_trends = SqliteTrendState(Database(folder / "trending.db", durable=False))
        clock = lambda: self.now_ms  # noqa: E731
        self.trends = HomeTrends(self.log, self.tables, self.state_of_trends, clock, self.config)
        stores = {"features": self.features, "history": self.history, "tables": self.tables, "slates": self.slates}
        readers = Readers(**(stores | replaced))
        self.boards = Boards(self.trends, self.state.table, shared, clock, self.config, self.looks.append)
        self.trending = TrendingFeed(
            TrendingParts(
                boards=self.boards, readers=readers, views=Views(readers, self.videos, self.state, 1_000),
                signer=BoardPlaceSigner(b"k" * 32, "trending"), refresh=self._refresh, clock=clock,
                later=self._later, deadline_ms=1_000, cursor_ttl_ms=1_800_000,
            )
        )  # fmt: skip

    async def _refresh(self):
        await self.processor.catch_up()

    def watched(self):
        asyncio.run(self.tables.put_users([ViewerRecord(user_id=f"u{n}", region="US") for n in range(6)]))
        self.happen(*(published(f"w{v}", self.now_ms, ("pets", "dance")[v % 2]) for v in range(1, 6)))
        self.happen(*(self.watch(f"u{u}", f"w{v}") for v in range(1, 6) for u in range(v)))
        return self

    def watch(self, viewer, video, ago_ms=60_000):
        fields = {"viewer_id": viewer, "video_id": video, "time_ms": self.now_ms - ago_ms}
        return Watch(event_id=f"{viewer}{video}{self.now_ms}", play_ms=1, length_ms=2, **fields)

    def told(self, event_kind, **fields):
        fields = {"viewer_id": "ann", "time_ms": self.now_ms} | fields
        self.happen(event_kind(event_id=f"{event_kind.__name__}{self.now_ms}{fields}", **fields))

    def trends_page(self, viewer="ann", key=DAY, page=None, limit=20, cursor=None):
        return asyncio.run(self.trending.page(viewer, key, page=page, limit=limit, cursor=cursor))

    def shown(self, viewer="ann", key=DAY, **how):
        return [video.video_id for video in self.trends_page(viewer, key, **how).videos]

    def author(self, video):
        return self.state.table.authors.words[self.state.table.author[self.state.table.row(video)]]


@pytest.fixture
def toy(tmp_path):
    return ToyTrending(tmp_path).watched()


def test_a_board_is_ordered_by_score_and_each_video_says_it(toy):
    """Viewers who are not qualified count 0.05 x 1,000 = 50 points each; with one of them a video has less than 100."""
    page = toy.trends_page()
    assert [(video.video_id, video.trending_score) for video in page.videos] == [
        ("w5", 250), ("w4", 200), ("w3", 150), ("w2", 100),
    ]  # fmt: skip
    assert page.degraded == () and page.has_more is False and page.as_of == toy.now_ms // 60_000 * 60_000


def test_what_may_not_be_seen_leaves_no_board_though_it_is_kept_for_a_minute(toy):
    assert "w5" in toy.shown() and "w4" in toy.shown()
    toy.told(VideoRemoved, video_id="w5")
    toy.told(VideoUpdated, video_id="w4", visibility="friends")
    assert not {"w5", "w4"} & {*toy.shown(), *toy.shown("")}
    assert toy.looks == [False] + [True] * 3  # the board was made once


def test_authors_who_were_blocked_or_hidden_or_block_are_not_shown_to_that_viewer(toy):
    author = toy.author("w5")
    theirs = {video for video in toy.shown("") if toy.author(video) == author}
    for kind, who, whom in ((Block, "ann", author), (Block, author, "ann"), (HideAuthor, "ann", author)):
        toy.told(kind, viewer_id=who, author_id=whom)
        assert not theirs & set(toy.shown("ann"))
        assert theirs <= set(toy.shown("")) and theirs <= set(toy.shown("ben"))
        toy.now_ms += 1
        toy.told(Unblock, viewer_id=who, author_id=whom)
        toy.now_ms += 1


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_of_hiding_blocking_and_removing_leak_nothing(toy, seed):
    """Whatever happens between two pages of a minute, a page is what the board holds less what may not be seen."""
    rng, hidden, blocks, videos = random.Random(seed), set(), set(), [f"w{n}" for n in range(1, 6)]
    for _ in range(40):
        video, act = rng.choice(videos), rng.choice(["hide", "show", "block", "blocked", "unblock", "unblocked"])
        author = toy.author(video)
        pair = ("ann", author) if act in ("block", "unblock") else (author, "ann")
        toy.now_ms += 1
        if act in ("hide", "show"):
            toy.told(VideoUpdated, video_id=video, visibility="private" if act == "hide" else "public")
            hidden = hidden | {video} if act == "hide" else hidden - {video}
        else:
            toy.told(Unblock if act.startswith("un") else Block, viewer_id=pair[0], author_id=pair[1])
            blocks = blocks - {pair} if act.startswith("un") else blocks | {pair}
        if rng.random() < 0.2:
            toy.now_ms += 60_000  # another board
        page, board = toy.shown(), asyncio.run(toy.boards.get(DAY)).board.video_ids
        allowed = {
            v for v in videos if v not in hidden and not {("ann", toy.author(v)), (toy.author(v), "ann")} & blocks
        }
        assert page == [v for v in board if v in allowed]
        assert set(toy.shown("")) == {v for v in board if v not in hidden}


def test_unknown_blocks_show_nothing_and_anybody_has_none(tmp_path):
    toy = ToyTrending(tmp_path, tables=Away()).watched()
    page = toy.trends_page("ann")
    assert page.videos == [] and "safety_unknown" in page.degraded and page.next_cursor is None


def test_pages_and_cursors_go_through_the_whole_board(toy):
    whole = toy.shown()
    assert toy.shown(page=0, limit=2) + toy.shown(page=1, limit=2) == whole == ["w5", "w4", "w3", "w2"]
    first = toy.trends_page(limit=2)
    assert first.has_more and first.next_page == 1
    assert toy.shown(limit=20, cursor=first.next_cursor) == whole[2:]
    assert toy.shown(page=50) == []


def test_a_cursor_goes_on_in_the_board_of_its_minute(toy):
    first = toy.trends_page(limit=1)
    rest = toy.shown(limit=20, cursor=first.next_cursor)
    toy.now_ms += 120_000
    toy.happen(*(toy.watch(f"new{n}", "w1") for n in range(40)))
    assert toy.shown()[0] == "w1"
    assert toy.shown(limit=20, cursor=first.next_cursor) == rest


def test_a_cursor_of_another_board_or_viewer_or_an_old_one_is_refused(toy):
    cursor = toy.trends_page(limit=1).next_cursor
    for viewer, key in (("ann", BoardKey(time_range="7d")), ("ben", DAY), ("", DAY)):
        with pytest.raises(CursorError):
            toy.trends_page(viewer, key, cursor=cursor)
    toy.now_ms += 1_800_001
    with pytest.raises(CursorError, match="expired"):
        toy.trends_page(cursor=cursor)


def test_a_region_counts_the_viewers_who_are_there_and_a_category_is_the_video_s_own(toy):
    topic = toy.state.table.topics.words[toy.state.table.topic[toy.state.table.row("w5")]]
    same = [
        v for v in toy.shown() if toy.state.table.topic[toy.state.table.row(v)] == toy.state.table.topics.code(topic)
    ]
    assert toy.shown(key=BoardKey(category=topic)) == same
    assert toy.shown(key=BoardKey(region="US")) == toy.shown()
    assert toy.shown(key=BoardKey(region="FR")) == toy.shown(key=BoardKey(category="none")) == []


def test_a_hundred_who_ask_at_once_make_one_board(toy):
    async def ask():
        pages = [toy.trending.page("", DAY, page=None, limit=20, cursor=None) for _ in range(100)]
        return await asyncio.gather(*pages)

    pages = asyncio.run(ask())
    assert all(page == pages[0] for page in pages) and pages[0].videos
    assert toy.looks.count(False) == 1


def test_a_new_board_is_made_after_a_minute_and_has_what_was_counted_since(toy):
    before = toy.shown()
    toy.happen(*(toy.watch(f"late{n}", "w1", 1) for n in range(40)))
    assert toy.shown() == before
    toy.now_ms += 60_000
    assert toy.shown()[0] == "w1"


def test_replicas_show_the_board_that_one_of_them_made(tmp_path):
    shared = MemoryBytes(lambda: 0)
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    one, two = ToyTrending(folders[0], shared).watched(), ToyTrending(folders[1], shared)
    two.happen(*(published(f"w{v}", two.now_ms) for v in range(1, 6)))  # it has the catalogue, and counted nothing
    assert one.shown("") and two.shown("") == one.shown("")


def test_a_like_is_shown_as_the_viewer_s_own(toy):
    toy.told(Like, video_id="w5")
    liked = {video.video_id: video.user_interaction.liked for video in toy.trends_page().videos}
    assert liked["w5"] and not liked["w4"]
    assert not any(video.user_interaction.liked for video in toy.trends_page("").videos)


def test_a_log_that_is_far_ahead_is_told_of(toy):
    toy.trends._config = TrendingConfig(counts_s=0.000_001)
    page = toy.trends_page()
    assert page.degraded == ("trending_counts",)
