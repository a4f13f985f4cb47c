"""On real servers the loop closes: what was served is what the log leads to, is learned from, and learns at once."""

import asyncio
import json
import time
import warnings

import httpx
import numpy as np
import pytest

from backends.blob_folder import FolderBlobStore
from core.topics import COUNTS, SLATES, USER_INTERACTION
from features.archive.events import ArchivedEvents
from features.backfill.tasks import replay_to
from features.definitions import NAMES
from features.feast_fields import ENTITIES
from features.feast_offline import packed_rows
from features.layout import DAY_MS, LIKE_BIT, VIEWER_DTYPE
from features.logged import LoggedSlate
from features.packed import record_of
from features.skew.compare import bits_differ
from feeds.logged_slates import ArchivedSlates
from tests.integration.kept_rows import backfilled, differing, online_rows, snapshots, standing, stored_in_files
from tests.integration.lived_cluster import FORGOTTEN, VIEWERS, Lived, live, logged_slates
from tests.integration.running_cluster import Program
from tests.integration.trained_cluster import trained_on_shared_servers
from training.feedback.days import join_days
from training.feedback.files import fixed_values, read_rows

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

AT_ONCE_S = 1.0
LATER_MS = 3 * DAY_MS  # by then every label's window is over


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> Lived:
    """Two thousand rows and more, served and reported across a restart of the worker."""
    with trained_on_shared_servers(tmp_path_factory.mktemp("loop")) as cluster:
        yield asyncio.run(live(cluster, cluster.replicas()))


def test_every_row_that_was_served_comes_out_of_archive_and_log_to_the_last_bit(lived):
    report = json.loads(lived.cluster.run("features", "skew", "--json"))
    print(f"\n{report['slates']} slates, {report['rows']:,} rows, {report['states']:,} states; {report['seconds']} s")
    print(f"staleness {report['staleness']}\njoin {report['join']}")
    assert report["rows"] >= max(lived.clients.watched.rows, 2_000) and report["features"] == len(NAMES)
    assert report["differences"] == [] and (report["missing_states"], report["missing_rows"]) == (0, 0)
    # of little worth if every row had been read from the same few states: viewers' grow with the slates, the others'
    # with what popular videos and their authors live through, which is chance
    assert report["states"] > 5 * report["slates"] and report["slates"] >= len(lived.clients.watched.slates)
    assert {one["entity"] for one in report["staleness"]} == set(ENTITIES)
    join = report["join"]
    assert (join["rows"], join["states"]) == (report["rows"], report["states"])
    assert join["max_ulp"] <= 1 and join["beyond_one_ulp"] == [] and join["wrong_states"] == 0


def test_a_replay_of_archive_and_log_gives_the_streams_own_files_and_redis_to_the_last_bit(lived, tmp_path):
    async def replayed():
        async with lived.sources() as sources:
            ends = {topic: await sources.messages.bounds(topic) for topic in FORGOTTEN}
            for topic, forgotten in lived.forgotten.items():
                # each topic lies on both sides of the border, and the broker alone no longer has it
                assert any(
                    last and end.first == last + 1 <= end.last for last, end in zip(forgotten, ends[topic], strict=True)
                )
            until = [dict(enumerate(bound.last for bound in ends[topic])) for topic in (USER_INTERACTION, COUNTS)]
            return await replay_to(sources, *until)

    began = time.perf_counter()
    packed = asyncio.run(replayed())
    again = standing({(entity, key): raw for entity, rows in packed.items() for key, raw in rows.items()})
    print(f"\n{len(again):,} rows in {time.perf_counter() - began:.1f} s")
    assert {entity for entity, _ in again} == set(ENTITIES) and len(again) > 1_000
    assert differing(again, standing(stored_in_files(lived, tmp_path))) == []
    assert differing(again, standing(asyncio.run(online_rows(lived.cluster.configured())))) == []


@pytest.fixture(scope="module")
def here(lived, tmp_path_factory):
    """A backfill in one process: (what it counted, its settings)."""
    return backfilled(lived, tmp_path_factory.mktemp("here"))


def test_a_backfill_into_a_fresh_redis_leaves_the_streams_rows_there(lived, here):
    counted, settings = here
    rows = standing(asyncio.run(online_rows(settings)))
    assert len(rows) > 1_000
    assert differing(rows, standing(asyncio.run(online_rows(lived.cluster.configured())))) == []
    assert {task["task"].partition("-")[0] for task in counted} == {"viewers", "counters"}
    events = sum(task["counted"] for task in counted if task["task"].startswith("viewers"))
    assert events > lived.clients.watched.reported > 2_000
    # the last midnight's snapshots hold each row once, as of its last event
    last = {}
    for table in snapshots(settings.home).values():
        entity = next(name for name in table.column_names if name.endswith("_id"))
        for key, version in zip(table[entity].to_pylist(), table["version"].to_pylist(), strict=True):
            last[entity.removesuffix("_id"), key] = version
    assert last == {key: version for key, (_, version) in rows.items()}


async def joined_later(lived, home):
    """The join of today's slates as it will be when every window is over; its report."""
    async with lived.sources() as sources:
        slates, log = ArchivedSlates(sources.log(SLATES)), ArchivedEvents(sources.log(USER_INTERACTION))
        now_ms = time.time_ns() // 1_000_000 + LATER_MS
        return await join_days(slates, log, FolderBlobStore(home), now_ms, one_log=False)


def test_slates_become_training_rows_with_the_features_that_were_served(lived):
    cluster = lived.cluster
    days = {one.slate.time_ms // DAY_MS for one in asyncio.run(_slates(lived))}
    waiting = json.loads(cluster.run("features", "join", "--json"))
    assert waiting["joined"] == [] and len(waiting["waiting"]) == len(days)
    report = asyncio.run(joined_later(lived, cluster.home))
    assert sum(day.slates for day in report.joined) >= len(lived.clients.watched.slates)
    logged = {one.slate.slate_id: one for one in asyncio.run(_slates(lived))}
    table = asyncio.run(read_rows(FolderBlobStore(cluster.home), [day.day for day in report.joined]))
    served = np.stack(
        [
            logged[slate].declared[position]
            for slate, position in zip(table["slate_id"].to_pylist(), table["position"].to_pylist(), strict=True)
        ]
    )
    print(f"\n{table.num_rows:,} joined rows: {report.joined}")
    assert table.num_rows > 1_000
    assert not bits_differ(fixed_values(table, "features", len(NAMES)), served).any()
    assert np.nansum(table["label_like"].to_numpy()) > 50 and np.nanmean(table["label_long_view"].to_numpy()) > 0.1


async def _slates(lived) -> list[LoggedSlate]:
    async with lived.sources() as sources:
        return await logged_slates(sources)


def test_feast_sees_on_redis_the_bytes_that_serving_reads(lived):
    from features.feast_repo import apply, online_of, open_feast

    settings = lived.cluster.configured()
    apply(settings.home, online_of(settings))
    store, raw = open_feast(settings.home, online_of(settings)), asyncio.run(online_rows(settings))
    for entity in ENTITIES:
        ids = sorted(key for kind, key in raw if kind == entity)[:40]
        names = [f"{entity}:{field.name}" for field in ENTITIES[entity].fields]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = store.get_online_features(names, [{f"{entity}_id": key} for key in ids])
        seen = packed_rows(answer.to_dict(), entity)
        assert [row.tobytes() for row in seen] == [raw[entity, key] for key in ids] and ids


def test_the_next_page_within_a_second_is_computed_from_a_row_that_has_what_was_just_done(lived):
    found = asyncio.run(_at_once(lived, VIEWERS[:5]))
    took = sorted(found)
    print(f"\nfrom the acknowledgement to the row of the online store: {[f'{s * 1e3:.0f} ms' for s in took]}")
    assert took[len(took) // 2] < AT_ONCE_S


async def _at_once(lived, viewers):
    """Each viewer watches and likes, and asks again as soon as a second is over; how long the row took to have it."""
    clients, took = lived.clients, []
    async with httpx.AsyncClient(timeout=10.0) as client, lived.opened() as cluster:
        table = cluster.catalogue.table
        for viewer in viewers:
            page = await clients.page(client, viewer)
            slate_id, videos = page["slate_id"], [video["video_id"] for video in page["videos"]]
            events = [clients.event("impression", video_id=video, slate_id=slate_id) for video in videos]
            for video in videos[:3]:
                about = {"video_id": video, "slate_id": slate_id}
                events += [
                    clients.event("watch", play_ms=9_000, length_ms=9_000, **about),
                    clients.event("like", **about),
                ]
            before = await _row(cluster, viewer)
            at = await clients.report(client, viewer, events)
            while not _has(row := await _row(cluster, viewer), rows := table.rows(videos[:3])):
                assert time.time() < at + 30, "the row never had it"
                await asyncio.sleep(0.02)
            took.append(time.time() - at)
            assert row["version"][0] > before["version"][0]
            await asyncio.sleep(max(at + AT_ONCE_S - time.time(), 0))
            following = await clients.page(client, viewer)
            assert following["videos"] and not {v["video_id"] for v in following["videos"]} & set(videos)
            again = await _logged(lived, following["slate_id"])
            assert again.viewer["version"][0] >= row["version"][0] and _has(again.viewer, rows)
    return took


def test_what_a_like_dropped_is_ranked_ahead_by_the_worker_so_that_the_next_page_is_cut(lived):
    assert asyncio.run(_cut_after_likes(lived, VIEWERS[10:12])) == 0
    cluster, told = lived.cluster, "ranks ahead"
    worker = Program(cluster, "ahead", ["work", "precompute", "--share", "1"], lambda program: told in program.tail())
    cluster.programs["ahead"] = worker
    worker.start()
    try:
        assert asyncio.run(_cut_after_likes(lived, VIEWERS[12:16])) >= 3
    finally:
        assert worker.stop() == 0, worker.tail()


async def _cut_after_likes(lived, viewers):
    """For how many viewers the page after a like was cut from what was ranked meanwhile."""
    clients, liked = lived.clients, {}
    async with httpx.AsyncClient(timeout=10.0) as client:
        for viewer in viewers:
            page = await clients.page(client, viewer)
            liked[viewer] = about = {"video_id": page["videos"][0]["video_id"], "slate_id": page["slate_id"]}
            await clients.report(client, viewer, [clients.event("impression", **about), clients.event("like", **about)])
        await asyncio.sleep(3 * AT_ONCE_S)
        before = await _found(client, clients)
        for viewer, about in liked.items():
            following = await clients.page(client, viewer)
            assert following["videos"] and about["video_id"] not in {v["video_id"] for v in following["videos"]}
        return await _found(client, clients) - before


async def _found(client, clients):
    """Remainders that the replicas found at hand."""
    texts = [(await client.get(f"{url}/metrics")).text for url in clients.urls]
    wanted = 'foryou_cache_looks_total{cache="foryou",found="yes"} '
    return sum(float(line.removeprefix(wanted)) for text in texts for line in text.splitlines() if wanted in line)


async def _row(cluster, viewer):
    [raw] = await cluster.features.read("viewer", [viewer])
    return record_of(raw, VIEWER_DTYPE) if raw else np.zeros(1, VIEWER_DTYPE)


def _has(record, rows):
    """Whether the last watches are these videos, each liked."""
    length = int(record["history_len"][0])
    last = slice(max(length - len(rows), 0), length)
    liked = (record["history_signal"][0, last] & LIKE_BIT) > 0
    return record["history_video"][0, last].tolist() == rows.tolist() and bool(liked.all())


async def _logged(lived, slate_id):
    """The slate with its features, once it is on the log."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for one in await _slates(lived):
            if one.slate.slate_id == slate_id:
                return one
        await asyncio.sleep(0.3)
    raise AssertionError(f"the slate {slate_id} never came to the log")
