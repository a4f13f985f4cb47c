import numpy as np
import pytest

from candidate_gen.boards import Board, fresh_board, ranked_board
from candidate_gen.index import IndexConfig, VideoIndex
from candidate_gen.item_to_item import ItemToItemConfig, Neighbours, neighbours_of
from candidate_gen.sources import (
    BoardSourceConfig,
    FreshSource,
    ItemToItemSource,
    ItemToItemSourceConfig,
    PopularSource,
    TwoTowerSource,
    TwoTowerSourceConfig,
)
from candidate_gen.viewer_view import history_of
from core.stages import Source
from tests.candidate_gen.worlds import DAY_MS, query_of, state_of

NAMES = ("two_tower", "item_to_item", "popular", "fresh")
QUOTA = 30


@pytest.fixture(scope="module")
def sources(world, viewer_tower, video_vectors):
    table, rows = world.table, np.arange(len(world.table), dtype=np.int32)
    index = VideoIndex.build(rows, video_vectors, IndexConfig())
    neighbours = neighbours_of(world.watches, len(table), ItemToItemConfig())
    scores = np.bincount(world.watches.video, minlength=len(table)).astype(np.float64)
    popular = ranked_board(scores, table.region, 200)
    fresh = fresh_board(table.upload_ms, table.region, world.now_ms, 7 * DAY_MS, 200)
    board = BoardSourceConfig(quota=QUOTA)
    made = (
        TwoTowerSource(viewer_tower, index, TwoTowerSourceConfig(quota=QUOTA)),
        ItemToItemSource(neighbours, ItemToItemSourceConfig(quota=QUOTA)),
        PopularSource(popular, table.regions, board),
        FreshSource(fresh, table.regions, board),
    )
    return dict(zip(NAMES, made, strict=True))


def queries(world):
    everything = np.arange(len(world.table), dtype=np.int32)
    return {
        "an ordinary viewer": query_of(world, 3, region="south", profile=("south", "web")),
        "no history": query_of(world),
        "an empty history": query_of(world, viewer_state=state_of([], [], [])),
        "an unknown profile": query_of(world, 3, region="mars", profile=("mars", "x", "y")),
        "unknown videos": query_of(world, viewer_state=state_of([99_999], [1], [1])),
        "everything seen": query_of(world, 3, seen=everything),
        "served before": query_of(world, 3, served=everything[:50]),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_source_keeps_its_contract_for_every_viewer(world, sources, name):
    source = sources[name]
    assert isinstance(source, Source) and source.name == name
    for who, query in queries(world).items():
        rows = source.fetch(query)
        assert rows.dtype == np.int32, who
        assert len(rows) <= QUOTA and len(np.unique(rows)) == len(rows), who
        assert ((rows >= 0) & (rows < len(world.table))).all(), who
        assert not np.isin(rows, query.seen).any() and not np.isin(rows, query.served).any(), who


def test_the_two_tower_search_asks_for_more_when_much_is_seen(world, sources):
    first = sources["two_tower"].fetch(query_of(world, 3))
    later = sources["two_tower"].fetch(query_of(world, 3, seen=first))
    assert len(later) == QUOTA and not np.isin(later, first).any()


def test_a_stranger_still_gets_candidates(world, sources):
    found = {name: len(sources[name].fetch(query_of(world))) for name in NAMES}
    assert found == {"two_tower": QUOTA, "item_to_item": 0, "popular": QUOTA, "fresh": QUOTA}


def test_item_to_item_stays_near_the_viewers_topic(world, sources):
    rows = sources["item_to_item"].fetch(query_of(world, 3))
    assert np.mean(world.table.topic[rows] - 1 == world.taste[3]) > 0.5


def test_neighbours_are_those_watched_together(world):
    neighbours = neighbours_of(world.watches, len(world.table), ItemToItemConfig(neighbours=5))
    assert neighbours.rows.shape == neighbours.scores.shape == (240, 5)
    assert neighbours.rows.dtype == np.int32 and neighbours.scores.dtype == np.float32
    topic = world.table.topic
    known = neighbours.rows[:40] >= 0
    same = topic[neighbours.rows[:40]] == topic[:40, None]
    assert same[known].mean() > 0.5
    assert (np.diff(neighbours.scores, axis=1) <= 0).all()


def brute_neighbours(watches, videos, config):
    """Pair scores [videos, videos] by two plain loops, for weights of one."""
    pairs, mass = np.zeros((videos, videos)), np.zeros(videos)
    for start, end in zip(watches.indptr[:-1], watches.indptr[1:], strict=True):
        for a in range(start, end):
            mass[watches.video[a]] += 1
            for b in range(max(start, a - config.window), min(end, a + config.window + 1)):
                if watches.video[a] != watches.video[b]:
                    apart = abs(int(watches.time_ms[a]) - int(watches.time_ms[b]))
                    pairs[watches.video[a], watches.video[b]] += 0.5 ** (apart / config.half_life_ms)
    norm = np.sqrt(mass + config.shrink)
    return pairs / norm[:, None] / norm


def test_neighbour_scores_match_two_plain_loops(world):
    config = ItemToItemConfig(
        neighbours=240, window=4, half_life_ms=DAY_MS, damping=0.5, target_damping=0.5,
        signal_weights=(1.0,) * 7,
    )  # fmt: skip
    few = world.watches.where(world.watches.viewer() < 40)
    neighbours = neighbours_of(few, 240, config)
    got = np.zeros((240, 241))
    np.put_along_axis(got, neighbours.rows.astype(np.int64), neighbours.scores, axis=1)
    np.testing.assert_allclose(got[:, :240], brute_neighbours(few, 240, config), rtol=1e-5)


def test_neighbours_come_back_from_their_bytes(world):
    neighbours = neighbours_of(world.watches, 240, ItemToItemConfig())
    again = Neighbours.from_bytes(neighbours.to_bytes())
    np.testing.assert_array_equal(neighbours.rows, again.rows)
    np.testing.assert_array_equal(neighbours.scores, again.scores)


def test_a_board_is_ordered_and_leaves_out_what_is_not_allowed():
    scores, region = np.asarray([1.0, 5.0, 3.0, 0.0]), np.asarray([1, 2, 1, 1])
    board = ranked_board(scores, region, 10)
    assert board.everywhere.tolist() == [1, 2, 0]
    assert {code: rows.tolist() for code, rows in board.by_region.items()} == {1: [2, 0], 2: [1]}
    allowed = np.asarray([True, False, True, True])
    assert ranked_board(scores, region, 10, allowed).everywhere.tolist() == [2, 0]


def test_a_board_gives_the_own_region_its_share_first():
    board = Board(np.asarray([1, 2, 3, 4], np.int32), {1: np.asarray([3, 4], np.int32)})
    assert board.rows(1, 4).tolist() == [3, 4, 1, 2]
    assert board.rows(1, 2).tolist() == [3, 1]
    assert board.rows(9, 2).tolist() == [1, 2]


def test_the_fresh_board_is_newest_first_and_holds_nothing_old_or_from_the_future():
    upload = np.asarray([100, 900, 500, 1100])
    board = fresh_board(upload, np.zeros(4, int), now_ms=1000, max_age_ms=600, size=10)
    assert board.everywhere.tolist() == [1, 2]


def test_a_history_holds_only_what_is_filled(world):
    query = query_of(world, viewer_state=state_of([4, 5], [1, 8], [10, 20]))
    history = history_of(query)
    assert history.video.tolist() == [4, 5]
    assert history.signal.tolist() == [1, 8] and history.time_ms.tolist() == [10, 20]
