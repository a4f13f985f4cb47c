"""The logged history: order, budget, propensities, files, and the seed."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from core.errors import InputError
from simulation.history import LoggedHistory
from simulation.law import DAY_MS, EPOCH_MS, topic_count
from simulation.log_files import LOG_SCHEMA, ROW_GROUP_ROWS, in_blocks, write_history
from simulation.logged_sessions import seen_chance
from simulation.logging_policy import draw, list_by, mixture_chance
from simulation.pair_set import contains, pair
from simulation.public import PublicUser, PublicVideo
from simulation.world import World


@pytest.fixture(scope="module")
def paused():
    """A history stopped within its third day: history, catalogue, a viewer with follows and top topics."""
    world = World.build(5, users=300, videos=1200, days=4)
    history = LoggedHistory(world, 30_000)
    hours = history.hours()
    for _ in range(60):
        next(hours)
    by_topic = list_by(world.videos.public_topic, topic_count(world.law))
    by_author = list_by(world.videos.author, len(world.creators))
    catalogue = history._open_hour(world.day_start_ms(2) + 12 * 3_600_000, by_topic, by_author)
    follows = np.bincount(world.follows.viewer, minlength=300)[:300]
    viewer = int(np.argmax(np.where(follows > 3, history._memory.topic_views[:300].sum(axis=1), -1)))
    topics = np.argsort(-history._memory.topic_views[viewer])[:3].astype(np.int16)
    return history, catalogue, viewer, topics


def chances_of(history, catalogue, viewer, topics, count):
    region = int(history.world.viewers.region[viewer])
    return np.array(
        [mixture_chance(catalogue, history._following, viewer, region, topics, count, v) for v in range(catalogue.live)]
    )


@pytest.mark.parametrize("count", [0, 3])
def test_the_mixture_sums_to_one_over_the_catalogue(paused, count):
    assert chances_of(*paused, count).sum() == pytest.approx(1.0)


def test_the_chance_of_seen_videos_is_what_the_unseen_ones_lack(paused):
    history, catalogue, viewer, topics = paused
    chances = chances_of(*paused, 3)
    seen = [contains(history._memory.seen, pair(viewer, v)) for v in range(catalogue.live)]
    region = int(history.world.viewers.region[viewer])
    total = seen_chance(catalogue, history._following, history._memory, viewer, region, topics, 3)
    assert sum(seen) > 20
    assert total == pytest.approx(chances[seen].sum())


def test_draws_come_as_often_as_their_propensity_says(paused):
    history, catalogue, viewer, topics = paused
    rng, region = np.random.default_rng(0), int(history.world.viewers.region[viewer])
    drawn = [draw(catalogue, history._following, viewer, region, topics, 3, rng)[0] for _ in range(100_000)]
    expected = 100_000 * chances_of(*paused, 3)
    found = np.bincount(drawn, minlength=catalogue.live)
    common = expected > 20
    # the sum of squared normalised differences is chi-square: mean n, deviation sqrt(2 n)
    chi_square = ((found - expected)[common] ** 2 / expected[common]).sum()
    assert abs(chi_square - common.sum()) < 5 * np.sqrt(2 * common.sum())


def test_the_log_has_the_size_and_the_order_asked_for(lived):
    world, rows = lived
    assert len(rows) == 60_000
    assert (np.diff(rows["time_ms"]) >= 0).all()
    assert rows["time_ms"][0] >= EPOCH_MS
    assert rows["time_ms"][-1] < EPOCH_MS + 6 * DAY_MS + DAY_MS // 12
    assert (world.videos.upload_ms[rows["video"]] <= rows["time_ms"]).all()
    assert (rows["propensity"] > 0).all() and (rows["propensity"] <= 1 + 1e-9).all()


def test_no_viewer_is_shown_a_video_twice_and_the_world_knows_what_was_seen(lived):
    world, rows = lived
    viewer = int(rows["viewer"][0])
    mine = rows["video"][rows["viewer"] == viewer]
    assert len(np.unique(mine)) == len(mine)
    assert np.array_equal(np.sort(mine), world.seen(viewer))


def test_one_seed_gives_one_history_and_another_seed_another(lived):
    _, rows = lived
    again = World.build(11, users=800, videos=4000, days=6)
    assert np.array_equal(np.concatenate(list(LoggedHistory(again, 60_000).hours())), rows)
    other = World.build(12, users=800, videos=4000, days=6)
    assert not np.array_equal(np.concatenate(list(LoggedHistory(other, 60_000).hours())), rows)


def test_the_files_have_public_columns_only(written):
    users = pq.read_table(written / "users.parquet")
    videos = pq.read_table(written / "videos.parquet")
    assert users.column_names == list(PublicUser.__dataclass_fields__)
    assert videos.column_names == list(PublicVideo.__dataclass_fields__)
    assert pq.read_schema(written / "impressions.parquet") == LOG_SCHEMA
    assert pq.read_table(written / "follows.parquet").column_names == ["viewer_id", "author_id", "time_ms"]


def test_some_rows_are_lost_late_twice_or_malformed(written):
    log = pq.read_table(written / "impressions.parquet").to_pandas()
    once = log.drop_duplicates("event_id")
    assert 0.987 <= len(once) / 60_000 <= 0.993
    assert 0.001 <= 1 - len(once) / len(log) <= 0.003
    bad = (
        log.video_id.isna()
        | (log.play_ms < 0)
        | (log.length_ms == 0)
        | (log.viewer_id == "u?")
        | (log.video_id == "v-")
    )
    assert 0.0001 <= bad.mean() <= 0.001
    assert 0.015 <= (log.ingested_ms - log.watch_end_ms > 2_000).mean() <= 0.025
    assert (log.ingested_ms - log.watch_end_ms).max() <= 602_000


def test_row_groups_are_bounded_so_memory_does_not_grow_with_the_log(written):
    file = pq.ParquetFile(written / "impressions.parquet").metadata
    # a block may grow by its rows reported twice: 0.2%, so never by a twentieth
    assert max(file.row_group(i).num_rows for i in range(file.num_row_groups)) <= ROW_GROUP_ROWS * 1.05
    rows = np.arange(10)
    blocks = list(in_blocks(iter([rows[:3], rows[3:9], rows[9:]]), 4))
    assert [block.tolist() for block in blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_loaded_world_is_the_world_that_was_saved(written, lived):
    world, _ = lived
    loaded = World.load(written)
    assert loaded.day == world.day
    assert np.array_equal(loaded.viewers.deviation, world.viewers.deviation)
    assert np.array_equal(loaded.videos.taste, world.videos.taste)
    assert np.array_equal(loaded.satisfaction, world.satisfaction)
    assert np.array_equal(loaded.seen(5), world.seen(5))
    assert np.array_equal(loaded.follows.author, world.follows.author)


def test_a_world_that_has_lived_cannot_write_a_history(lived):
    with pytest.raises(ValueError, match="just built"):
        LoggedHistory(lived[0], 10)


def test_a_world_with_too_few_videos_says_so_instead_of_searching_for_ever(tmp_path):
    world = World.build(0, 60, 110, days=5)
    with pytest.raises(InputError, match=r"seen nearly every one of its 1\d\d videos.*ask for more videos"):
        write_history(world, tmp_path / "world", 60 * 400)
