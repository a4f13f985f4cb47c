"""The batch driver leaves the stream's rows, to the last bit, wherever it reads the log and however it is spread."""

import asyncio
from functools import partial

import msgspec
import numpy as np
import pytest

from backends.blob_folder import FolderBlobStore
from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.message_log import SqliteMessageLog
from core.errors import CorruptData, InputError, NotFound
from core.events import VideoUpdated, Watch, encode
from core.log import Message
from core.topics import CATALOGUE, COUNTS, TOPICS, USER_INTERACTION
from features.archive.layout import HOUR_MS
from features.archive.pieces import ArchiveConfig
from features.archive.writer import Archiver
from features.backfill.catalogue import read_catalogue
from features.backfill.output import Output
from features.backfill.run import run_here
from features.backfill.tasks import Sources, Task, count, moments_between, plan, replay_to
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.packed import pack_rows, record_of, unstamped
from features.stream.messages import COUNT_ROW, CountsBatch, encode_batch
from tests.features.stream.cluster import Cluster
from tests.features.stream.story import tell
from tests.features.toy_messages import ToyLog
from tests.features.worldlet import START_MS

ARCHIVED = (USER_INTERACTION, COUNTS, CATALOGUE)


def standing(rows):
    """(unstamped row, version) of every row by (entity, id)."""
    found = {}
    for (entity, key), raw in rows.items():
        record = record_of(raw, VIEWER_DTYPE if entity == "viewer" else COUNTS_DTYPE)
        found[entity, key] = (unstamped(raw), int(record["version"][0]))
    return found


def flat(packed):
    return {(entity, key): raw for entity, rows in packed.items() for key, raw in rows.items()}


async def story(folder, seed=1, count=300):
    """A cluster whose stream has counted everything."""
    cluster = Cluster(folder)
    await tell(cluster, seed, count=count)
    await cluster.rest(cluster.worker())
    return cluster


async def moved(cluster, rng, keep=0.3, spread_ms=20_000):
    """The cluster's topics on a log with times of its own, archived in pieces; the broker has forgotten some."""
    log = ToyLog(cluster.partitions)
    for topic in ARCHIVED:
        for n in range(1 if topic == CATALOGUE else cluster.partitions):
            at = 1_767_225_600_000
            for entry in await cluster.log.read(topic, n, 0, 100_000):
                at += int(rng.integers(0, 2 * spread_ms))
                log.put(topic, n, entry.key, entry.value, at - int(rng.integers(0, 3)) * 1_000)
    worker = Archiver(log, cluster.blobs, lambda: log.now, ArchiveConfig(most_object_rows=50, poll_limit=70), ARCHIVED)
    for _ in range(12):
        await worker.step()
    await worker.close()
    for topic in ARCHIVED:
        for n, bounds in enumerate(await log.bounds(topic)):
            archived = log.committed["archive", topic, n]
            assert archived or not bounds.last
            log.forget(topic, n, min(archived, int(bounds.last * (1 - keep))))
    return log


async def ends(log, topic):
    return {n: bounds.last for n, bounds in enumerate(await log.bounds(topic))}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_rows_are_the_streams_to_the_last_bit_across_archive_and_log(tmp_path, seed):
    async def main():
        cluster, rng = await story(tmp_path, seed), np.random.default_rng(seed)
        log = await moved(cluster, rng)
        until = await ends(log, USER_INTERACTION), await ends(log, COUNTS)
        found = standing(flat(await replay_to(Sources(cluster.blobs, log), *until)))
        wanted = standing(await cluster.rows())
        assert sorted(found) == sorted(wanted)
        assert [key for key in wanted if found[key] != wanted[key]] == []

    asyncio.run(main())


def test_to_any_offset_it_gives_what_the_stream_had_there(tmp_path):
    """A worker that saw a part of the log, and a replay to the offsets that it had reached."""

    async def main():
        cluster, rng = Cluster(tmp_path / "whole"), np.random.default_rng(5)
        await tell(cluster, 5, count=300)
        await cluster.rest(cluster.worker())
        names = {topic: await ends(cluster.log, topic) for topic in ARCHIVED}
        for number in range(2):
            part = Cluster(tmp_path / f"part{number}")
            viewers = {n: int(rng.integers(1, last + 1)) for n, last in names[USER_INTERACTION].items()}
            for topic in ARCHIVED:
                for n, last in names[topic].items():
                    until = viewers[n] if topic == USER_INTERACTION else last if topic == CATALOGUE else 0
                    entries = await cluster.log.read(topic, n, 0, until) if until else []
                    await part.log.append(topic, [Message(e.key, e.value, n) for e in entries])
            await part.rest(part.worker())
            sources = Sources(part.blobs, part.log)
            found = standing(flat(await replay_to(sources, viewers, await ends(part.log, COUNTS))))
            wanted = standing(await part.rows())
            assert found == wanted and wanted
            # The viewers' rows need nothing but their own partition, also on the whole log.
            alone = standing(flat(await replay_to(Sources(cluster.blobs, cluster.log), viewers, {})))
            assert alone == {key: row for key, row in wanted.items() if key[0] == "viewer"}

    asyncio.run(main())


def test_what_the_stream_sets_aside_is_not_counted_again(tmp_path):
    async def main():
        cluster = await story(tmp_path, count=100)
        at = {"viewer_id": "u1", "video_id": "v1", "time_ms": START_MS, "ingested_ms": START_MS}
        stamp = (await ends(cluster.log, CATALOGUE))[0]
        watch = Watch(event_id="w", play_ms=9_000, length_ms=20_000, catalogue_offset=stamp, **at)
        odd = [
            msgspec.structs.replace(watch, event_id="long", length_ms=2**40),
            msgspec.structs.replace(watch, event_id="far", time_ms=2**61),
            msgspec.structs.replace(watch, event_id="ahead", catalogue_offset=stamp + 9),
            VideoUpdated(event_id="foreign", viewer_id="u1", video_id="v1", time_ms=START_MS, topic="t2"),
        ]
        values = [*map(encode, odd), b"no event", encode(watch)]
        await cluster.log.append(USER_INTERACTION, [Message("u1", value) for value in values])
        rows = np.zeros(1, COUNT_ROW)
        rows["offset"], rows["video"] = 10**6, 10**6
        foreign = CountsBatch.of(0, stamp, 0, rows), CountsBatch.of(0, stamp + 9, 0, rows[:0])
        await cluster.log.append(COUNTS, [Message("x", raw, 0) for raw in (b"no", *map(encode_batch, foreign))])
        await cluster.rest(cluster.worker())
        until = await ends(cluster.log, USER_INTERACTION), await ends(cluster.log, COUNTS)
        found = standing(flat(await replay_to(Sources(cluster.blobs, cluster.log), *until)))
        assert found == standing(await cluster.rows())

    asyncio.run(main())


def test_a_log_without_counts_is_counted_in_the_order_of_its_time(tmp_path):
    async def main():
        cluster = await story(tmp_path)
        empty = ToyLog(cluster.partitions)
        for topic in (USER_INTERACTION, CATALOGUE):
            for n in range(1 if topic == CATALOGUE else cluster.partitions):
                for at, entry in enumerate(await cluster.log.read(topic, n, 0, 100_000)):
                    empty.put(topic, n, entry.key, entry.value, 1_767_225_600_000 + at * 1_000 + n)
        sources = Sources(FolderBlobStore(tmp_path / "other"), empty)
        tasks = await plan(sources, [], everything=True)
        assert [task.name for task in tasks] == ["viewers-0000", "viewers-0001", "viewers-0002", "recount-0000"]
        catalogue = await read_catalogue(sources.log(CATALOGUE))
        async for states, _ in count(sources, catalogue, tasks[-1]):
            found = {
                (r.entity, key): raw for r in states.rows for key, raw in zip(r.ids, pack_rows(r.records), strict=True)
            }
        stream = await cluster.rows()
        assert set(found) == {key for key in stream if key[0] != "viewer"}
        # Lifetime totals do not depend on the order.
        for key, raw in found.items():
            ours, theirs = (record_of(each, COUNTS_DTYPE)["totals"] for each in (raw, stream[key]))
            assert (ours[..., 0] == theirs[..., 0]).all()

    asyncio.run(main())


def opened(folder, log_file, partitions=3, online=False):
    """Sources over files, as every process can open them."""

    async def close():
        database.close()

    names = dict.fromkeys((USER_INTERACTION, COUNTS), partitions) | {CATALOGUE: 1}
    names |= {TOPICS[name].dead_letters: 1 for name in TOPICS}
    database = Database(log_file, durable=False)
    features = SqliteFeatureStore(Database(folder / "again.db", durable=False), "schema") if online else None
    return Sources(FolderBlobStore(folder / "blobs"), SqliteMessageLog(database, names), features, close)


async def open_again(folder, log_file, online=False):
    return opened(folder, log_file, online=online)


def snapshots(home):
    import pyarrow.parquet as pq

    found = {}
    for path in sorted((home / "feast" / "offline").rglob("*.parquet")):
        table = pq.read_table(path, partitioning=None).drop_columns(["created"])
        found[path.relative_to(home).as_posix()] = table.to_pylist()
    return found


def test_every_midnight_has_a_snapshot_of_what_changed_and_online_gets_the_rows_at_the_end(tmp_path):
    async def main():
        cluster = await story(tmp_path)
        log = await moved(cluster, np.random.default_rng(0), keep=1.0, spread_ms=2_000_000)

        async def opener():
            return Sources(cluster.blobs, log, SqliteFeatureStore(online, "schema"))

        online = Database(tmp_path / "again.db", durable=False)
        moments = moments_between(1_767_225_600_000, 1_767_225_600_000 + 4 * 86_400_000)
        found = await run_here(opener, tmp_path / "home", 1_800_000_000_000_000, moments, online=True)
        store = SqliteFeatureStore(online, "schema")
        rows = {(e, k): raw for e in ("viewer", "video", "author", "trend") for k, raw in await store.scan(e)}
        assert standing(rows) == standing(await cluster.rows())
        return found

    found = asyncio.run(main())
    assert sum(each.counted for each in found) > 300 and sum(each.duplicates for each in found) > 0
    files = snapshots(tmp_path / "home")
    assert len(files) == 5 * (3 + 3 * 3)
    versions = {}
    for name, rows in files.items():
        moment = int(name.rsplit("/", 1)[1].split("-", 1)[0])
        entity = name.split("/")[2]
        for row in rows:
            assert row["event_timestamp"].timestamp() * 1000 < moment
            assert round(row["event_timestamp"].timestamp() * 1_000_000) == row["applied_us"]
            versions.setdefault((entity, row[f"{entity}_id"]), []).append((moment, row["version"]))
    for history in versions.values():
        in_order = [version for _, version in sorted(history)]
        assert in_order == sorted(set(in_order))  # a row comes again only when it changed
    assert max(map(len, versions.values())) > 2


def test_a_row_that_the_stream_has_further_on_stays(tmp_path):
    async def main():
        cluster = await story(tmp_path, count=100)
        ahead = {key: raw for (entity, key), raw in (await cluster.rows()).items() if entity == "viewer"}
        changed = {}
        for key, raw in ahead.items():
            record = record_of(raw, VIEWER_DTYPE)
            record["version"] += 1
            changed[key] = pack_rows(record)[0]
        await cluster.online.write({"viewer": changed}, 0)
        sources = Sources(cluster.blobs, cluster.log)
        catalogue = await read_catalogue(sources.log(CATALOGUE))
        for task in await plan(sources, [], everything=True):
            async for states, _ in count(sources, catalogue, task):
                await Output(tmp_path, 0, cluster.online).put(states, task.name)
        assert dict(await cluster.online.scan("viewer")) == changed

    asyncio.run(main())


async def _spread_raw(opener, home):
    """A task on Ray that meets what the plan did not see."""
    from features.backfill.run import _spread

    return await asyncio.to_thread(_spread, [Task("viewers", 0, (10,), (), True)], (opener, home, 1, False), 1)


@pytest.mark.slow
def test_on_ray_the_snapshots_and_the_online_rows_are_the_same(tmp_path):
    import ray

    from features.backfill.run import run_on_ray

    async def here():
        cluster = await story(tmp_path)
        opener = partial(open_again, tmp_path, tmp_path / "log.db", online=True)
        return await run_here(opener, tmp_path / "here", 1, moments, online=True), await cluster.rows()

    now = 1_900_000_000_000
    moments = [now - now % HOUR_MS]
    local, stream = asyncio.run(here())
    online = Database(tmp_path / "again.db", durable=False)
    online.execute("DELETE FROM features")
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    try:
        opener = partial(open_again, tmp_path, tmp_path / "log.db", online=True)
        spread = asyncio.run(run_on_ray(opener, tmp_path / "there", 1, moments, online=True, workers=2))
        asyncio.run(FolderBlobStore(tmp_path / "blobs").put("archive/user.interaction/foreign", b""))
        with pytest.raises(CorruptData, match="foreign does not belong into the archive"):
            asyncio.run(_spread_raw(opener, tmp_path / "there"))
    finally:
        ray.shutdown()
    assert spread == local
    assert snapshots(tmp_path / "there") == snapshots(tmp_path / "here")
    store = SqliteFeatureStore(online, "schema")
    rows = {(e, k): raw for e in ("viewer", "video", "author", "trend") for k, raw in asyncio.run(store.scan(e))}
    assert standing(rows) == standing(stream)


def test_what_cannot_be_counted_is_said_in_one_sentence(tmp_path):
    async def main():
        cluster = await story(tmp_path, count=100)
        log = await moved(cluster, np.random.default_rng(0), keep=0.0)
        sources = Sources(cluster.blobs, log)
        tasks = await plan(sources, [], everything=True)
        catalogue = await read_catalogue(sources.log(CATALOGUE))
        keys = [k for k in await cluster.blobs.list(f"archive/{USER_INTERACTION}/") if "/0000-" in k]
        raw = await cluster.blobs.get(keys[0])
        await cluster.blobs.put(keys[0], raw[: len(raw) // 2])
        with pytest.raises(CorruptData, match="is damaged"):
            [each async for each in count(sources, catalogue, tasks[0])]
        await cluster.blobs.delete(keys[:1])
        with pytest.raises(CorruptData, match=r"Offsets 1 to \d+ of user\.interaction partition 0 are neither"):
            [each async for each in count(sources, catalogue, tasks[0])]
        with pytest.raises(NotFound, match=r"has any user\.interaction"):
            await plan(Sources(FolderBlobStore(tmp_path / "none"), ToyLog()), [], everything=True)

    asyncio.run(main())
    with pytest.raises(InputError, match="does not come after --from"):
        moments_between(5, 5)


def test_a_task_can_be_sent():
    task = Task("counters", 3, (17,), (1, 2), True)
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task
