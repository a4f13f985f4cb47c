"""A host's mapped counters: written by one applier, read whole, never torn, also when the applier dies half-way."""

import asyncio
import threading

import numpy as np
import pytest

from core.errors import ContractError
from core.log import Message
from core.query import Query
from core.topics import VIDEO_STATE
from core.video_table import Vocabulary
from features.layout import COUNTS_DTYPE
from features.online import OnlineFeatures
from features.packed import pack_rows, record_of, schema_number
from features.state import FeatureState
from features.stream.applier import HostApplier
from features.stream.host_table import HostTables, MappedCounters
from features.stream.messages import CounterRow, encode_row
from tests.features.stream.cluster import Cluster
from tests.features.stream.story import tell
from tests.features.worldlet import START_MS, catalogue


def rows(version, count, total):
    """Rows whose every counter is `total`, checksummed."""
    records = np.zeros(count, COUNTS_DTYPE)
    records["version"], records["counts"], records["totals"] = version, total, total
    return np.frombuffer(b"".join(pack_rows(records)), COUNTS_DTYPE)


async def follow(cluster, host="a", until=None):
    """Run a host's applier until the topic has been applied."""
    applier = HostApplier(cluster.log, cluster.folder / host / "host", every_s=0.01, save_every_s=0)
    task = asyncio.create_task(applier.run())
    ends = await cluster.ends(VIDEO_STATE)
    while sum(applier._progress.offsets.values()) < sum(ends):
        if task.done():
            task.result()
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return applier


def test_a_host_serves_from_its_mapped_table_what_the_workers_counted(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await tell(cluster, 1, count=200)
        await cluster.rest(cluster.worker())
        await follow(cluster)
        follower = cluster.follower()
        await follower.load()
        await follower.advance()
        mapped = FeatureState(follower.table, counters=HostTables(tmp_path / "a" / "host").counters)
        own = FeatureState(follower.table)
        for (entity, key), raw in (await cluster.rows()).items():
            if entity != "viewer":
                table = follower.table
                row = {"video": table.row, "author": table.authors.code, "trend": int}[entity](key)
                getattr(own, f"{entity}s").unpack(row, raw)
                assert getattr(mapped, f"{entity}s").pack([row]) == [raw]
        query = Query(viewer_id="x", surface="", session_id="", now_ms=START_MS, page=0, limit=1, seed=0)
        places = np.arange(len(follower.table), dtype=np.int32)
        served = [OnlineFeatures(state, Vocabulary(), 0).matrix(query, places) for state in (mapped, own)]
        assert served[0].tobytes() == served[1].tobytes()

    asyncio.run(main())


def test_a_replica_cannot_write(tmp_path):
    MappedCounters(tmp_path / "rows", writable=True).put(np.array([3]), rows(1, 1, 5))
    replica = MappedCounters(tmp_path / "rows")
    assert replica.records["totals"][3, 0] == 5
    with pytest.raises(ContractError):
        replica.put(np.array([3]), rows(2, 1, 6))
    with pytest.raises(ValueError, match="read-only"):
        replica.records["version"][3] = 9


def test_a_file_grows_under_the_feet_of_its_readers(tmp_path):
    writer, replica = MappedCounters(tmp_path / "rows", writable=True), MappedCounters(tmp_path / "rows")
    held = replica.records
    writer.put(np.array([200_000]), rows(7, 1, 70))
    replica.ensure(200_001)
    assert replica.records["totals"][200_000, 0] == 70 and len(held) < 200_000
    # A replica that knows of more videos than were counted reads empty rows.
    replica.ensure(400_000)
    assert replica.records["totals"][399_999, 0] == 0 and writer.records["totals"][200_000, 0] == 70


def test_an_older_row_does_not_replace_a_newer_one(tmp_path):
    writer = MappedCounters(tmp_path / "rows", writable=True)
    writer.put(np.array([1, 2]), rows(5, 2, 50))
    writer.put(np.array([1, 3]), rows(4, 2, 40))
    assert writer.records["totals"][:4, 0].tolist() == [0, 50, 50, 40]


def test_a_reader_who_looks_at_the_versions_takes_no_torn_row(tmp_path):
    writer, replica = MappedCounters(tmp_path / "rows", writable=True), MappedCounters(tmp_path / "rows")
    places, ended = np.arange(300), threading.Event()

    def write():
        for version in range(1, 1500):
            writer.put(places, rows(version, 300, version))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    taken = 0
    while not ended.is_set():
        before = replica.records["version"][places].copy()
        read = replica.records[places].copy()
        after = replica.records["version"][places].copy()
        whole = (before >= 0) & (before == after)
        taken += int(whole.sum())
        assert (read["counts"][whole] == before[whole][:, None, None]).all()
        assert (read["totals"][whole] == before[whole][:, None]).all()
    thread.join()
    assert taken > 0 and not writer.damaged()


def test_what_a_dead_applier_left_half_written_is_written_again(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await tell(cluster, 1, count=100)
        await cluster.rest(cluster.worker())
        await follow(cluster)
        videos = HostTables(tmp_path / "a" / "host", writable=True).by_entity["video"]
        whole = videos.pack(range(40))
        videos.records["version"][5] = -3
        videos.records["counts"][5] = 12345
        videos.records["counts"][6, 0, 0] += 1  # as a power cut would leave it
        assert videos.damaged()
        await follow(cluster)
        assert not videos.damaged() and videos.pack(range(40)) == whole

    asyncio.run(main())


def test_counters_of_another_log_and_rows_from_a_damaged_file_do_not_keep_their_place(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await tell(cluster, 1, count=100)
        await cluster.rest(cluster.worker())
        await follow(cluster)
        folder = tmp_path / "a" / "host"
        videos = HostTables(folder, writable=True).by_entity["video"]
        whole = videos.pack(range(40))
        videos.records["version"][5] = 1 << 40  # newer than anything that the log will say
        await follow(cluster)
        assert videos.pack(range(40)) == whole
        videos.put(np.array([7]), rows(1 << 40, 1, 9))  # whole, and of a log that went further than this one
        (folder / "applied.json").write_bytes(b'{"schema": %d, "offsets": {"0": 1000000}}' % schema_number())
        task = asyncio.create_task(HostApplier(cluster.log, folder, every_s=0.01).run())
        for _ in range(500):
            if videos.pack(range(40)) == whole:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert videos.pack(range(40)) == whole

    asyncio.run(main())


def test_a_host_has_one_applier_and_another_takes_over_when_it_ends(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        folder = tmp_path / "host"
        appliers = [HostApplier(cluster.log, folder, every_s=0.01, save_every_s=0) for _ in range(2)]
        tasks = [asyncio.create_task(applier.run()) for applier in appliers]
        await asyncio.sleep(0.05)

        async def applied(*due):
            while [applier.applied for applier in appliers] != list(due):
                await asyncio.sleep(0.01)

        async def publish(version):
            row = CounterRow(entity="video", row=3, packed=rows(version, 1, version)[0:1].tobytes())
            await cluster.log.append(VIDEO_STATE, [Message("video:v3", encode_row(row)), Message("x", b"noise")])

        async with asyncio.timeout(10):
            await publish(1)
            await applied(1, 0)
            tasks[0].cancel()
            await publish(2)
            await applied(1, 1)
        assert HostTables(folder).by_entity["video"].records["totals"][3, 0] == 2
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_rows_are_published_at_most_once_in_a_while_and_all_of_them_in_the_end(tmp_path):
    async def main():
        from tests.features.stream.cluster import KEPT

        cluster = Cluster(tmp_path)
        await tell(cluster, 1, count=200)
        kept = KEPT.model_copy(update={"publish_every_s": 1000.0})
        await cluster.rest(cluster.worker(kept=kept))
        published = {}
        for partition in range(3):
            for entry in await cluster.log.read(VIDEO_STATE, partition, 0, 100_000):
                published.setdefault(entry.key, []).append(entry.value)
        stored = {f"{e}:{k}": raw for (e, k), raw in (await cluster.rows()).items() if e != "viewer"}
        assert sorted(published) == sorted(stored) and catalogue()
        # One publication at the first tick, and one when the partition left.
        assert max(map(len, published.values())) <= 2
        versions = [int(record_of(raw, COUNTS_DTYPE)["version"][0]) for raw in stored.values()]
        assert min(versions) > 0

    asyncio.run(main())
