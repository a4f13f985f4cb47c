"""Trending's counts and boards equal a recount of all events, whatever came late, twice, or between two restarts."""

import numpy as np
import pytest

from backends.sqlite.database import Database
from backends.sqlite.trend_state import SqliteTrendState
from core.errors import StorageFull
from core.events import Like, Unlike, Watch
from core.trends import HOUR_MS, TrendStep
from feeds.trending.board import BoardKey, make_board
from feeds.trending.config import TrendingConfig
from feeds.trending.counting import TrendCounting
from feeds.trending.counts import decode_counts, encode_counts, merged, read_counts
from tests.feeds.trending_recount import FULL, LIGHT, Recount
from tests.feeds.trending_story import DAY, START_MS, catalogue, published, records, story

CONFIG = TrendingConfig()
KEYS = [
    BoardKey(mode, time_range, region, category)
    for mode, time_range in (("spec", "24h"), ("spec", "7d"), ("spec", "30d"), ("literal", "24h"))
    for region in ("", "US")
    for category in ("", "pets")
]


def opened(folder, name="trending"):
    return SqliteTrendState(Database(folder / f"{name}.db", durable=False))


def counted(folder, events, now_ms, batch=100):
    counting = TrendCounting(opened(folder), CONFIG, repeats=True)
    told = records(events)
    for start in range(0, len(told), batch):
        part = told[start : start + batch]
        counting.apply(part, {}, now_ms // HOUR_MS - 720, part[-1].offset)
    return counting.state


def shown(state, key, table, now_ms):
    board = make_board(key, read_counts(state, key.window, now_ms // HOUR_MS), table, now_ms, CONFIG)
    return list(zip(board.video_ids, board.scores, strict=True))


def due(recount, key, now_ms):
    return recount.board(now_ms, key.mode, key.time_range, key.region, key.category)


@pytest.mark.parametrize("seed", range(6))
def test_boards_equal_a_recount_through_restarts_and_redeliveries(tmp_path, seed):
    events, now_ms = story(seed)
    rng, told, done = np.random.default_rng(seed), records(events), 0
    state = opened(tmp_path)
    while done < len(told):
        size = int(rng.integers(1, 90))
        back = max(0, done - int(rng.integers(0, 30)))  # what was counted already comes again
        part = told[back : done + size]
        TrendCounting(state, CONFIG, repeats=True).apply(part, {}, now_ms // HOUR_MS - 720, part[-1].offset)
        done += size
        if rng.random() < 0.3:
            state.close()
            state = opened(tmp_path)
    recount, table = Recount(events), catalogue(events)
    boards = {key: shown(state, key, table, now_ms) for key in KEYS}
    assert boards == {key: due(recount, key, now_ms) for key in KEYS}
    assert sum(map(bool, boards.values())) >= 8  # the histories are such that there is something to compare
    weights = {weight for acts in recount.counting(now_ms, 720).values() for _, weight in acts}
    assert weights == {FULL, LIGHT}


def test_partitions_by_viewer_make_the_same_boards_as_one(tmp_path):
    events, now_ms = story(11)
    parts = []
    for number in range(3):
        mine = [event for event in events if sum(event.viewer_id.encode()) % 3 == number]
        (tmp_path / str(number)).mkdir()
        parts.append(counted(tmp_path / str(number), mine, now_ms))
    table, recount = catalogue(events), Recount(events)
    for key in KEYS:
        told = [decode_counts(encode_counts(read_counts(part, key.window, now_ms // HOUR_MS))) for part in parts]
        board = make_board(key, merged(told, 1 if key.mode == "literal" else 3), table, now_ms, CONFIG)
        assert list(zip(board.video_ids, board.scores, strict=True)) == due(recount, key, now_ms)


def test_a_micro_batch_that_finds_no_space_leaves_nothing_and_counts_once_when_it_comes_again(tmp_path, monkeypatch):
    events, now_ms = story(3, count=200)
    state, told = opened(tmp_path), records(events)
    counting, commit = TrendCounting(state, CONFIG, repeats=True), SqliteTrendState.commit

    def full(self, step):
        commit(self, step)
        raise StorageFull("No space is left.")

    monkeypatch.setattr(SqliteTrendState, "commit", full)
    with pytest.raises(StorageFull):
        counting.apply(told, {}, 0, told[-1].offset)
    assert state.position() == 0
    monkeypatch.setattr(SqliteTrendState, "commit", commit)
    counting.apply(told, {}, 0, told[-1].offset)
    key = BoardKey(time_range="30d")
    assert shown(state, key, catalogue(events), now_ms) == due(Recount(events), key, now_ms)


def test_a_board_keeps_a_hundred_with_ties_by_id(tmp_path):
    """120 videos with two light views each: 2 x 0.05 x 1,000 = 100 points, the least that is shown."""
    names = [f"v{n:03}" for n in range(120)]
    told = [watch(f"{who}{name}", who, 0, name) for name in names for who in ("u1", "u2")]
    told.append(watch("alone", "u1", 0, "w"))  # 50 points: not shown
    state, table = counted(tmp_path, told, START_MS), catalogue([published(name, START_MS) for name in (*names, "w")])
    assert shown(state, BoardKey(), table, START_MS) == [(name, 100) for name in names[:100]]


@pytest.mark.parametrize("key", [BoardKey(), BoardKey("literal"), BoardKey("literal", region="FR")])
def test_a_board_of_nothing_or_of_unknown_videos_is_empty(tmp_path, key):
    state, empty = counted(tmp_path, [], START_MS), catalogue([])
    assert shown(state, key, empty, START_MS) == shown(state, key, catalogue([published("v1", 1)]), START_MS) == []
    watched = counted(tmp_path, [watch(f"e{n}", f"u{n}", 0) for n in range(9)], START_MS)
    assert shown(watched, key, empty, START_MS) == shown(watched, key, catalogue([published("w", 1)]), START_MS) == []


def test_a_viewer_counts_once_in_every_window_that_holds_one_of_their_views(tmp_path):
    """u1 watches at hour 0 and at hour 30; at hour 40 both the last 24 hours and the last week have one light view."""
    watches = [watch(f"e{hour}", "u1", hour) for hour in (0, 30, 30)]
    state, now_ms = counted(tmp_path, watches, START_MS + 40 * HOUR_MS), START_MS + 40 * HOUR_MS
    for hours in (24, 168, 720):
        [row] = state.window(now_ms // HOUR_MS - hours, now_ms // HOUR_MS)
        assert row.views == 1
    assert state.window(now_ms // HOUR_MS - 5, now_ms // HOUR_MS) == []


def test_a_like_that_was_taken_back_does_not_count_whatever_order_it_is_told_in(tmp_path):
    fields = {"viewer_id": "u1", "video_id": "v1"}
    told = [Unlike(event_id="b", time_ms=START_MS + 2, **fields), Like(event_id="a", time_ms=START_MS + 1, **fields)]
    state = counted(tmp_path, told, START_MS)
    assert state.window(0, START_MS // HOUR_MS) == []


def test_sums_and_marks_beyond_the_longest_window_are_forgotten_in_turn(tmp_path):
    state = counted(tmp_path, [watch(f"e{n}", f"u{n}", n) for n in range(50)], START_MS + DAY)
    first = START_MS // HOUR_MS
    for _ in range(4):
        state.forget(first + 25, 0.25)
    assert state._database.row("SELECT count(*), min(hour) FROM marks") == (25, first + 25)
    assert state._database.row("SELECT min(hour) FROM sums") == (first + 25,)
    state.forget(first + 30, 1.0)  # around, from the beginning
    assert state._database.row("SELECT count(*) FROM marks") == (20,)


def test_a_hundred_fresh_accounts_do_not_bring_a_video_into_the_top_20(tmp_path):
    """The 20th of the board has 1,000 qualified views; a hundred new accounts watch another video 100 times each, like
    and share it. They weigh 100 x 0.05 x (1,000 + 500 + 2,000) = 17,500 points, the 20th has 1,000,000 less its age."""
    state, now_ms = opened(tmp_path), START_MS + 3 * DAY
    good = [f"v{n:02}" for n in range(20)]
    hour = now_ms // HOUR_MS
    qualified = [(hour - 1, video, "") for video in good]
    with state.step():
        state.commit(TrendStep(1, sums={key: [1_000 * CONFIG.full_units, 0, 0, 0] for key in qualified}))
    attack = []
    for account in range(100):
        who = {"viewer_id": f"fresh{account}", "video_id": "bad", "time_ms": now_ms - 60_000, "ingested_ms": now_ms}
        attack += [Watch(event_id=f"w{n}", play_ms=1, length_ms=2, **who) for n in range(100)]
        attack += [kind(event_id=kind.__name__, **who) for kind in (Like, Unlike, Like)]
    told = records([None, *attack])[1:]
    TrendCounting(state, CONFIG, repeats=True).apply(told, {}, hour - 720, told[-1].offset)
    table = catalogue([published(video, START_MS) for video in (*good, "bad")])
    board = [video for video, _ in shown(state, BoardKey(), table, now_ms)]
    assert board[:20] == good and "bad" not in board[:20]


def watch(event_id, viewer, hour, video="v1"):
    return Watch(
        event_id=event_id, viewer_id=viewer, video_id=video, time_ms=START_MS + hour * HOUR_MS, play_ms=1, length_ms=2
    )
