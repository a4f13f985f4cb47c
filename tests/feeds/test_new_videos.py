"""Which new videos may be explored: floor, budgets, floods and reports, from the counters of the product itself."""

import numpy as np

from core.events import Impression, NotInterested, VideoPublished, VideoUpdated
from core.query import Query
from feeds.config import ForYouConfig
from feeds.exploration.new_videos import floods, new_videos, within_budgets
from feeds.exploration.source import NewVideoSource
from tests.feeds.toy_feed import NOW_MS, ToyFeed

HOUR_MS = 3_600_000
CONFIG = ForYouConfig(exposure_floor=5, video_budget=20, creator_budget=40, flood_uploads=3)


def fit(shown, author, upload_ms=None, config=CONFIG):
    upload_ms = np.arange(len(shown)) * HOUR_MS if upload_ms is None else np.asarray(upload_ms)
    return within_budgets(np.asarray(shown, float), np.asarray(author, np.int32), upload_ms, config).tolist()


def test_a_video_has_its_budget():
    assert fit([0, 4, 19, 20], [1, 2, 3, 4]) == [True, True, True, False]


def test_a_creators_videos_share_theirs_and_those_under_the_floor_still_come():
    # 19 + 19 + 4 = 42 of 40 are spent
    assert fit([19, 19, 4, 10], [1, 1, 1, 2]) == [False, False, True, True]


def test_who_floods_has_one_videos_budget_and_no_floor():
    # four within an hour, limit three; together 21 of 20
    assert fit([7, 7, 7, 0, 0], [1, 1, 1, 1, 2], [0, 1, 2, 3, 4]) == [False] * 4 + [True]
    assert fit([7, 7, 5, 0, 0], [1, 1, 1, 1, 2], [0, 1, 2, 3, 4]) == [True] * 5
    # the fourth an hour later: no flood
    assert fit([7, 7, 7, 0], [1, 1, 1, 1], [0, 1, 2, HOUR_MS]) == [True] * 4


def test_a_flood_is_found_wherever_it_lies():
    author = np.array([1, 2, 1, 2, 1, 2], np.int32)
    upload_ms = np.array([0, 0, 10 * HOUR_MS, 9, 11 * HOUR_MS - 1, 90])
    assert floods(author, upload_ms, 2).tolist() == [False, True] * 3
    assert floods(author, upload_ms, 1).tolist() == [True] * 6
    assert floods(author[:1], upload_ms[:1], 3).tolist() == [False]


def test_the_products_counters_open_and_close_it(tmp_path):
    toy = ToyFeed(tmp_path)
    config = ForYouConfig(new_video_ms=5 * HOUR_MS, exposure_floor=2, video_budget=3, reported_limit=2)

    def rows():
        toy.state.ensure()
        return new_videos(toy.state, config, toy.now_ms).rows.tolist()

    # video n was put up n + 1 hours before
    assert rows() == [0, 1, 2, 3, 4]
    facts = {"time_ms": NOW_MS, "slate_id": ""}
    shown = [Impression(event_id=f"i{n}", viewer_id=f"u{n}", video_id="v0", **facts) for n in range(3)]
    disliked = [NotInterested(event_id=f"n{n}", viewer_id=f"u{n}", video_id="v1", time_ms=NOW_MS) for n in range(2)]
    hidden = VideoUpdated(event_id="h", viewer_id="a2", video_id="v2", visibility="private", time_ms=NOW_MS)
    toy.happen(*shown, *disliked, hidden)
    assert rows() == [3, 4]
    new = {"video_id": "fresh", "author_id": "a9", "topic": "t1", "length_ms": 9_000, "upload_ms": NOW_MS}
    toy.happen(VideoPublished(event_id="p", viewer_id="a9", time_ms=NOW_MS, **new))
    assert rows() == [3, 4, 40]
    toy.now_ms += 2 * HOUR_MS
    assert rows() == [40]


def test_the_source_gives_some_of_them_and_other_pages_get_others(tmp_path):
    toy = ToyFeed(tmp_path)
    config = ForYouConfig(new_video_quota=8)
    new = new_videos(toy.state, config, NOW_MS)
    source = NewVideoSource(new, config)

    def fetch(seed, **parts):
        facts = {"viewer_id": "a", "surface": "s", "session_id": "s", "now_ms": NOW_MS, "page": 0, "limit": 5}
        return source.fetch(Query(seed=seed, **facts, **parts)).tolist()

    assert fetch(1) == fetch(1) != fetch(2) and len(fetch(1)) == 8
    assert set().union(*(fetch(seed) for seed in range(60))) == set(range(40))
    assert not set(fetch(1, seen=np.arange(30, dtype=np.int32))) & set(range(30))
    assert not new.allowed(np.array([999])).any()
    assert NewVideoSource(new, ForYouConfig(exploration_every=0)).fetch.__self__._quota == 0
