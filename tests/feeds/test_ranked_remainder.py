"""Pages cut from what ranked behind an earlier one: filtered as they leave, and never past a strong signal."""

import asyncio

import numpy as np
import pytest

from core.arrays import unpack
from core.errors import Unavailable
from core.events import Block, Follow, HideAuthor, Impression, Like, NotInterested, Unfollow, VideoRemoved, Watch
from feeds.ladder import Rung
from feeds.ranked_remainder import RemainderConfig, Remainders
from tests.feeds.test_for_you import names
from tests.feeds.toy_cluster import CONFIG, ToyCluster
from tests.feeds.toy_feed import NOW_MS, ToyModels, ids

SMALL = RemainderConfig(videos=20)


class Cutting(ToyCluster):
    """Two processes with remainders in their shared cache."""

    def __init__(self, folder, config=SMALL, **sizes):
        self.looks, self.bundle = [], "b1"

        def extra(replica):
            versions = lambda: (self.bundle, CONFIG.parameter_hash)  # noqa: E731
            engine = replica.engine
            return {"remainders": Remainders(self.cache, engine, versions, config, self.looks.append)}

        super().__init__(folder, extra=extra, **sizes)

    def ranked_times(self):
        """How often each process ranked."""
        return tuple(replica.models.ranked for replica in self.both)


@pytest.fixture
def cluster(tmp_path):
    return Cutting(tmp_path)


def event(kind, number=1, **fields):
    return kind(event_id=f"{kind.__name__}{number}", viewer_id="ann", time_ms=NOW_MS + number, **fields)


def detail(replica, page):
    return unpack(asyncio.run(replica.slates.get_detail(page.slate_id)).served)[0]


def test_the_next_pages_are_cut_by_any_process_and_are_those_that_ranking_would_give(cluster, tmp_path_factory):
    a, b = cluster.both
    pages = [a.page(), b.page(), a.page()]
    plain = ToyCluster(tmp_path_factory.mktemp("plain"))
    ranked = [plain.both[0].page() for _ in range(3)]
    assert [ids(page) for page in pages] == [ids(page) for page in ranked]
    assert cluster.ranked_times() == (1, 0) and cluster.looks == [False, True, True]


def test_a_page_is_ranked_again_once_less_than_two_pages_are_left(cluster):
    a, _ = cluster.both
    for _ in range(6):
        a.page()
    # Twenty are kept behind the first page: pages 1 to 3 leave five, too few for page 4.
    assert cluster.looks == [False, True, True, True, False, True]


@pytest.mark.parametrize("kind", [Like, Watch, NotInterested, Follow, HideAuthor, Block])
def test_every_strong_signal_told_to_one_process_makes_the_other_rank_anew(cluster, kind):
    a, b = cluster.both
    a.page()
    b.tell(event(Watch, 1, video_id="v0", play_ms=10_000, length_ms=20_000))
    assert ids(b.page()) == names(5, 6, 7, 8, 9) and cluster.looks == [False, True]  # half a watch is none
    if kind is Watch:
        a.tell(event(Watch, 2, video_id="v1", play_ms=100, length_ms=20_000))
    elif kind in (Like, NotInterested):
        a.tell(event(kind, 2, video_id="v0"))
    else:
        a.tell(event(kind, 2, author_id="a5"))
    b.page()
    assert cluster.looks == [False, True, False]


def test_a_video_marked_as_not_interesting_without_a_watch_makes_the_other_rank_anew(cluster):
    a, b = cluster.both
    a.page()
    b.tell(event(NotInterested, 1, video_id="v3"))
    a.page()
    assert cluster.looks == [False, False]
    cluster.work()
    b.page()
    assert cluster.looks == [False, False, True]  # counted by now, it is the same that the page was ranked under


def test_what_a_strong_signal_has_dropped_still_serves_where_the_ranking_fails(tmp_path, monkeypatch):
    cluster = Cutting(tmp_path)
    a, b = cluster.both
    for replica in (a, b):
        replica.feed._ladder.rungs = [Rung("cached", replica.parts.remainders.rows)]
    a.page()
    b.tell(event(Like, 1, video_id="v0"))
    monkeypatch.setattr(ToyModels, "values", lambda *_: 1 / 0)
    page = b.page()
    assert (ids(page), page.degraded) == (names(5, 6, 7, 8, 9), ("cached",))
    assert not any("foryou:" in key for key in cluster.cache._kept)  # no page is cut from it any more
    again = b.page()
    assert (ids(again), again.degraded) == (names(10, 11, 12, 13, 14), ("cached",))


def test_taking_a_signal_back_makes_the_page_be_ranked_anew_too(cluster):
    a, b = cluster.both
    a.tell(event(Follow, 1, author_id="a5"))
    a.page()
    a.tell(event(Unfollow, 2, author_id="a5"))
    assert ids(b.page(limit=2)) == names(2, 3) and cluster.looks == [False, False]


def test_what_a_remainder_holds_is_filtered_as_it_leaves(cluster):
    a, b = cluster.both
    a.page()
    cluster.happened(event(VideoRemoved, 1, video_id="v5"))
    b.tell(event(Impression, 2, video_id="v6"))
    assert ids(b.page()) == names(7, 8, 9, 10, 11) and cluster.looks == [False, True]


def test_a_cut_page_logs_the_rows_that_ranked_it_and_when_the_viewer_was_read(cluster):
    a, b = cluster.both
    a.page()
    read_ms = cluster.now_ms
    cluster.now_ms += 60_000
    page = b.page()
    served = detail(b, page)
    assert served["viewer_read"]["now_ms"][0] == read_ms
    assert np.array_equal(served["features"][:, 0], -np.arange(5, 10)) and served["rows"].tolist() == [5, 6, 7, 8, 9]
    assert np.array_equal(served["value"], served["features"][:, 0])


def test_a_remainder_is_gone_after_half_an_hour_with_another_bundle_and_where_the_cache_lost_it(cluster):
    a, b = cluster.both
    a.page()
    cluster.bundle = "b2"
    a.page()
    cluster.cache._kept.clear()
    b.page()
    cluster.now_ms += 1_799_999
    b.page()
    cluster.now_ms += 1_799_999
    b.page()
    assert cluster.looks == [False, False, False, True, False]


def test_a_cache_that_is_away_or_holds_garbage_costs_the_page_a_ranking(cluster):
    a, b = cluster.both
    a.page()
    key = next(key for key in cluster.cache._kept if "foryou:" in key)
    for garbage in (b"", b"\xc1", b"\x93"):
        cluster.cache._kept[key] = (garbage, cluster.now_ms + 1_000)
        assert len(ids(b.page())) == 5

    class Away:
        async def get(self, *asked):
            raise Unavailable("away")

        set = delete = get

    object.__setattr__(a.parts.remainders, "cache", Away())
    assert len(ids(a.page())) == 5


def test_a_cache_that_never_answers_costs_a_page_its_deadline_and_then_hardly_anything(cluster):
    a, _ = cluster.both
    waits = []

    class Hanging:
        async def get(self, keys):
            began = asyncio.get_running_loop().time()
            try:
                await asyncio.sleep(60)
            finally:
                waits.append(asyncio.get_running_loop().time() - began)

        async def set(self, values, ttl_ms):
            return None

    object.__setattr__(a.parts.remainders, "cache", Hanging())
    assert [len(ids(a.page())) for _ in range(6)] == [5] * 6
    assert min(waits[:3]) > 0.09 > 2 * min(waits[3:])  # of which one a second is waited for to see whether it is well


def test_a_page_that_is_kept_in_full_is_ranked(tmp_path):
    cluster = Cutting(tmp_path)
    a, _ = cluster.both
    object.__setattr__(a.parts, "settings", a.parts.settings.model_copy(update={"full_slate_share": 1.0}))
    a.page()
    a.page()
    assert cluster.looks == [] and cluster.ranked_times() == (2, 0)


def test_ranking_ahead_makes_the_next_page_a_cut_one_after_a_signal(cluster):
    a, b = cluster.both
    a.page()
    a.tell(event(Watch, 1, video_id="v0", play_ms=100, length_ms=20_000))
    assert b.prepare("ann", limit=5) and not a.prepare("ann", limit=5)
    assert ids(a.page()) == names(5, 6, 7, 9, 10)  # 8 is of the kind of what was skipped
    assert cluster.looks == [False, True]


def test_nothing_is_ranked_ahead_for_who_is_in_no_session(cluster):
    a, _ = cluster.both
    assert not a.prepare("ann")
    a.page()
    cluster.now_ms += 1_800_001
    assert not a.prepare("ann")


def test_a_page_says_at_which_video_to_ask_for_the_next(cluster):
    a, _ = cluster.both
    assert [a.page(limit=limit).preload_next_at for limit in (20, 4, 1)] == [15, 3, 1]
    last = [a.page(limit=40) for _ in range(2)][-1]
    assert (ids(last), last.preload_next_at) == ([], None)
