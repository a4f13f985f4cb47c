"""A synthetic world comes onto the log whole, once, with its bad rows set aside."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.catalogue import ViewerRecord
from core.errors import InputError, NotFound
from core.events import Follow, Impression, Like, VideoPublished, Watch, kind_of
from foryou.importers import Progress, import_world
from tests.importers.made_logs import (
    ACTIONS,
    START_MS,
    events_in,
    impressions,
    open_stores,
    repeat_rows,
    write_world,
)


def test_each_wide_row_becomes_its_impression_its_watch_and_what_followed(tmp_path: Path) -> None:
    log = impressions(300)
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_world(write_world(tmp_path / "world", log), stores))
    kinds = Counter(kind_of(event) for event in events_in(stores))
    expected = Counter({name: int(log[name].sum()) for name in ACTIONS})
    expected.update({"impression": 300, "watch": 300, "video_published": 40, "follow": 2})
    assert kinds == expected
    assert report.events == sum(expected.values())
    assert (report.rows, report.videos, report.users) == (300, 40, 50)
    assert (report.duplicates, report.known, report.clamped, report.rejected) == (0, 0, 0, Counter())


def test_the_events_of_a_row_carry_its_times_and_its_delay(tmp_path: Path) -> None:
    log = {name: column[:1] for name, column in impressions(1).items()}
    log.update(play_ms=[4_000], length_ms=[8_000], watch_end_ms=[START_MS + 4_000], ingested_ms=[START_MS + 9_000])
    log.update({name: [name in ("like", "follow")] for name in ACTIONS})
    log.update(video_id=["v7"], viewer_id=["u3"], propensity=[0.25], position=[4])
    stores = open_stores(tmp_path / "home")
    asyncio.run(import_world(write_world(tmp_path / "world", log), stores))
    impression, watch, like, follow = events_in(stores)[-4:]
    assert isinstance(impression, Impression) and isinstance(watch, Watch)
    assert isinstance(like, Like) and isinstance(follow, Follow)
    assert (impression.time_ms, impression.ingested_ms) == (START_MS, START_MS + 5_000)
    assert (impression.position, impression.session_id, impression.propensity) == (4, "s0", 0.25)
    assert (watch.time_ms, watch.ingested_ms) == (START_MS + 4_000, START_MS + 9_000)
    assert (watch.play_ms, watch.length_ms, watch.long_view, watch.click) == (4_000, 8_000, None, None)
    assert (like.time_ms, like.video_id, like.viewer_id) == (START_MS + 4_001, "v7", "u3")
    assert (follow.author_id, follow.video_id, follow.time_ms) == ("a2", "v7", START_MS + 4_001)
    assert len({event.event_id for event in events_in(stores)}) == 46
    assert len(impression.event_id) == 32


def test_users_and_videos_keep_their_public_columns(tmp_path: Path) -> None:
    stores = open_stores(tmp_path / "home")
    asyncio.run(import_world(write_world(tmp_path / "world", impressions(5)), stores))
    (user,) = asyncio.run(stores.tables.users(["u0"]))
    assert user == ViewerRecord(
        user_id="u0",
        username="user_u0",
        display_name="User u0",
        avatar_url="/media/avatars/u0.png",
        region="r1",
        language="l1",
        device="phone",
        age_band="18-24",
        signup_ms=START_MS,
        chosen_topics=("t1",),
        traits=("languages=l1", "languages=l2"),
        made_up=("username", "display_name", "avatar_url"),
    )
    video = events_in(stores)[3]
    assert isinstance(video, VideoPublished)
    assert (video.video_id, video.author_id, video.topic, video.thumbnail_cluster) == ("v3", "a3", "t1", "3")
    assert (video.length_ms, video.upload_ms, len(video.content_embedding)) == (10_000, START_MS - 1_000, 32)


def test_a_second_import_adds_nothing_with_or_without_its_mark(tmp_path: Path) -> None:
    world, stores = write_world(tmp_path / "world", impressions(300)), open_stores(tmp_path / "home")
    first = asyncio.run(import_world(world, stores))
    end = asyncio.run(stores.log.end())
    for keep_marks in (True, False):
        if not keep_marks:
            for mark in (tmp_path / "home" / "imports").iterdir():
                mark.unlink()
        again = asyncio.run(import_world(world, stores))
        assert (again.rows, again.events, again.known, again.duplicates) == (300, 0, 300, 0)
        assert (again.videos, again.users) == (first.videos, first.users)
        assert asyncio.run(stores.log.end()) == end


def test_marks_of_another_log_are_not_believed(tmp_path: Path) -> None:
    world, home = write_world(tmp_path / "world", impressions(50)), tmp_path / "home"
    first = asyncio.run(import_world(world, open_stores(home)))
    for file in home.glob("*.db*"):
        file.unlink()
    stores = open_stores(home)
    assert asyncio.run(import_world(world, stores)).events == first.events == asyncio.run(stores.log.end())


def test_repeated_rows_are_dropped_and_counted_near_and_far(tmp_path: Path) -> None:
    log = repeat_rows(impressions(25_000), [0, 24_999, 24_999])
    log["position"][-1] = 99  # the same id, but not the same row
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_world(write_world(tmp_path / "world", log), stores))
    assert (report.rows, report.duplicates, report.exact_duplicates) == (25_003, 3, 2)
    assert sum(isinstance(event, Impression) for event in events_in(stores)) == 25_000


BAD = {
    "video_id is missing": {"video_id": None},
    "viewer_id is missing": {"viewer_id": " "},
    "viewer_id is too long or not text": {"viewer_id": "x" * 129},
    "length_ms is not above zero": {"length_ms": 0},
    "length_ms is missing": {"length_ms": None},
    "length_ms is over 30 days": {"length_ms": 2**60},
    "play_ms is negative": {"play_ms": -1},
    "play_ms is missing": {"play_ms": None},
    "time_ms is before 2005 or in the future": {"time_ms": 32_503_680_000_000},
    "watch_end_ms is before time_ms": {"watch_end_ms": START_MS - 5},
    "ingested_ms is before 2005 or in the future": {"ingested_ms": 17},
    "propensity is not above 0 and at most 1": {"propensity": 1.5},
    "propensity is not a number": {"propensity": float("nan")},
}


def test_bad_rows_are_set_aside_with_their_reason_and_the_rest_is_kept(tmp_path: Path) -> None:
    log = {name: list(column) for name, column in impressions(100).items()}
    for row, changes in enumerate(BAD.values()):
        for name, value in changes.items():
            log[name][row] = value
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_world(write_world(tmp_path / "world", log), stores))
    assert report.rejected == Counter(dict.fromkeys(BAD, 1))
    (path,) = report.reject_files
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert path == tmp_path / "home" / "rejects" / "world-impressions.jsonl"
    assert [(entry["line"], entry["reason"]) for entry in entries] == [*enumerate(BAD, 1)]
    assert entries[0]["file"] == "impressions.parquet" and entries[0]["row"]["event_id"] == "e0"
    assert sum(isinstance(event, Impression) for event in events_in(stores)) == 100 - len(BAD)
    asyncio.run(import_world(tmp_path / "world", stores))
    assert len(path.read_text().splitlines()) == len(BAD)


def test_a_watch_of_more_than_five_lengths_is_clamped_and_counted(tmp_path: Path) -> None:
    log = impressions(3)
    log.update(play_ms=[5_000, 5_001, 10], length_ms=[1_000, 1_000, 1_000])
    stores = open_stores(tmp_path / "home")
    report = asyncio.run(import_world(write_world(tmp_path / "world", log), stores))
    watches = [event for event in events_in(stores) if isinstance(event, Watch)]
    assert [watch.play_ms for watch in watches] == [5_000, 5_000, 10]
    assert report.clamped == 1


def test_progress_is_told_for_every_chunk(tmp_path: Path) -> None:
    told: list[Progress] = []
    world = write_world(tmp_path / "world", impressions(12_000))
    asyncio.run(import_world(world, open_stores(tmp_path / "home"), told.append))
    assert [entry for entry in told if entry.file == "impressions.parquet"] == [
        Progress("impressions.parquet", 10_000, 12_000),
        Progress("impressions.parquet", 12_000, 12_000),
    ]


def test_what_cannot_be_imported_is_refused_in_one_sentence(tmp_path: Path) -> None:
    stores, world = open_stores(tmp_path / "home"), tmp_path / "world"
    with pytest.raises(NotFound, match=r"no folder .*nowhere"):
        asyncio.run(import_world(tmp_path / "nowhere", stores))
    log = write_world(world, impressions(3)) / "impressions.parquet"
    columns = pq.read_table(log)
    pq.write_table(columns.drop_columns(["play_ms"]), log)
    with pytest.raises(InputError, match=r"impressions\.parquet has no column 'play_ms'"):
        asyncio.run(import_world(world, stores))
    pq.write_table(columns.slice(0, 0), log)
    with pytest.raises(InputError, match=r"impressions\.parquet has no rows"):
        asyncio.run(import_world(world, stores))
    log.write_bytes(b"")
    with pytest.raises(InputError, match=r"impressions\.parquet is empty"):
        asyncio.run(import_world(world, stores))
    log.write_text("no parquet")
    with pytest.raises(InputError, match=r"impressions\.parquet is not a Parquet file"):
        asyncio.run(import_world(world, stores))
    log.unlink()
    with pytest.raises(NotFound, match=r"has no file impressions\.parquet"):
        asyncio.run(import_world(world, stores))


def test_ids_that_are_numbers_lose_no_digit(tmp_path: Path) -> None:
    log = impressions(2)
    log["viewer_id"] = pa.array([9_007_199_254_740_993, 7])
    stores = open_stores(tmp_path / "home")
    asyncio.run(import_world(write_world(tmp_path / "world", log), stores))
    viewers = [event.viewer_id for event in events_in(stores) if isinstance(event, Impression)]
    assert viewers == ["9007199254740993", "7"]
