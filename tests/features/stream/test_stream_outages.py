"""What the stream does when stores lose rows or do not answer, and with messages that nobody can read."""

import asyncio

import msgspec
import numpy as np
import pytest

from core.errors import ConfigError, SchemaMismatch, Unavailable
from core.events import encode
from core.log import Message
from core.topics import COUNTS, TOPICS, USER_INTERACTION, VIDEO_PROCESSED
from features.stream.messages import COUNT_ROW, CountsBatch, encode_batch
from tests.features.stream.cluster import CONFIG, Cluster
from tests.features.stream.story import register, tell
from tests.features.stream.test_stream_exactly_once import assert_same, standing, wanted
from tests.features.toy_state import every_kind, watch
from tests.features.worldlet import catalogue, publications


async def send(cluster, events):
    """Append viewer events, stamped with the whole catalogue."""
    end = (await cluster.ends("foryou.catalogue"))[0]
    await cluster.sink.append([msgspec.structs.replace(e, catalogue_offset=end, ingested_ms=e.time_ms) for e in events])


def empty(cluster):
    """What a flush does to the online store."""
    cluster.online_database.execute("DELETE FROM features")
    cluster.online_database.execute("DELETE FROM feature_facts WHERE name LIKE 'applied:%'")


async def until(condition, limit_s=20.0):
    """Wait for a condition."""
    end = asyncio.get_running_loop().time() + limit_s
    while not await condition():
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.02)


class Flaky:
    """An online store that is away at times."""

    def __init__(self, store):
        self._store, self.away, self.refused = store, False, 0

    def __getattr__(self, name):
        found = getattr(self._store, name)

        async def call(*args):
            if self.away:
                self.refused += 1
                raise Unavailable("The online store is away.")
            return await found(*args)

        return call


def test_an_online_store_that_was_emptied_gets_every_row_again(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await register(cluster, *publications())
        await send(cluster, every_kind(catalogue(), 200, 1))
        await cluster.rest(cluster.worker())
        task = asyncio.create_task(cluster.worker().run())
        empty(cluster)
        # One event for each partition, so that each has something to write and finds out.
        await send(cluster, [watch(n, viewer=f"x{n}", video=f"v{n}") for n in range(40)])
        await until(cluster.settled)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())


def test_an_online_store_that_went_back_gets_the_later_rows_again(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await register(cluster, *publications())
        await send(cluster, every_kind(catalogue(), 100, 1))
        await cluster.rest(cluster.worker())
        before = cluster.online_database.rows("SELECT entity, id, row FROM features")
        facts = cluster.online_database.rows("SELECT name, value FROM feature_facts")
        await send(
            cluster, [msgspec.structs.replace(e, event_id=f"b{e.event_id}") for e in every_kind(catalogue(), 90, 2)]
        )
        await cluster.rest(cluster.worker())
        empty(cluster)
        cluster.online_database.execute_many("INSERT INTO features VALUES (?, ?, ?)", before)
        cluster.online_database.execute_many("INSERT OR REPLACE INTO feature_facts VALUES (?, ?)", facts)
        await send(cluster, [watch(n, viewer=f"x{n}", video=f"v{n}") for n in range(40)])
        await cluster.rest(cluster.worker())
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())


def test_an_online_store_of_another_log_gets_every_row_of_this_one(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await register(cluster, *publications())
        await send(cluster, every_kind(catalogue(), 100, 1))
        marks = {f"{role}:{number}": 10**9 for role in ("viewer", "counter") for number in range(3)}
        await cluster.online.write({}, marks | {f"{name}:birth": 1 for name in marks})
        await cluster.rest(cluster.worker())
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())


def test_a_state_of_another_log_is_refused_with_a_reason(tmp_path):
    async def main():
        cluster = Cluster(tmp_path / "one")
        await register(cluster, *publications())
        await send(cluster, every_kind(catalogue(), 100, 1))
        await cluster.rest(cluster.worker())
        other = Cluster(tmp_path / "two")
        (tmp_path / "one" / "a" / "work").rename(tmp_path / "work")
        (tmp_path / "two" / "a").mkdir()
        (tmp_path / "work").rename(tmp_path / "two" / "a" / "work")
        with pytest.raises(ConfigError, match="of another log"):
            await asyncio.wait_for(other.worker().run(), 20)

    asyncio.run(main())


def test_while_the_online_store_is_away_history_goes_on_and_nothing_is_lost(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        online = Flaky(cluster.online)
        await register(cluster, *publications())
        worker = cluster.worker(online=online)
        task = asyncio.create_task(worker.run())
        online.away = True
        await send(cluster, every_kind(catalogue(), 200, 1))

        async def recorded():
            return worker.metrics()["history"].processed == 200 and worker.metrics()["viewers"].retries > 0

        await until(recorded)
        assert worker.metrics()["viewers"].processed == 0
        assert "away" in worker.metrics()["viewers"].last_outage
        online.away = False
        await until(cluster.settled)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())


def test_a_message_that_nobody_can_read_is_set_aside_with_its_reason_and_its_partition_goes_on(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        end = await register(cluster, *publications())
        await cluster.log.append(USER_INTERACTION, [Message("u1", b"noise")])
        await cluster.log.append(USER_INTERACTION, [Message("u1", encode(publications()[0]))])
        future = msgspec.structs.replace(watch(901, viewer="u1"), catalogue_offset=end + 1_000)
        await cluster.log.append(USER_INTERACTION, [Message("u1", encode(future))])
        newer = msgspec.structs.replace(watch(902, viewer="u1"), schema=99)
        await cluster.log.append(USER_INTERACTION, [Message("u1", encode(newer))])
        huge = msgspec.structs.replace(watch(904, viewer="u1"), time_ms=2**63, ingested_ms=2**63)
        await cluster.log.append(USER_INTERACTION, [Message("u1", encode(huge))])
        longer = msgspec.structs.replace(watch(905, viewer="u1"), length_ms=2**40)
        await cluster.log.append(USER_INTERACTION, [Message("u1", encode(longer))])
        await cluster.log.append(VIDEO_PROCESSED, [Message("v1", encode(watch(903)))])
        late = msgspec.structs.replace(publications()[1], event_id="late", upload_ms=2**63)
        await cluster.log.append(VIDEO_PROCESSED, [Message("v1", encode(late))])
        await cluster.log.append(COUNTS, [Message("0", b"noise", number) for number in range(3)])
        await send(cluster, every_kind(catalogue(), 60, 1))
        worker = cluster.worker()
        await cluster.rest(worker)
        metrics = worker.metrics()
        assert [metrics[role].rejected for role in ("viewers", "registrar", "counters")] == [6, 2, 3]
        dead = await cluster.log.read(TOPICS[USER_INTERACTION].dead_letters, 0, 0, 100)
        reasons = " ".join(entry.headers["reason"] for entry in dead)
        for part in (
            "cannot be read",
            "is no event of a viewer",
            f"the last is {end}",
            "schema 99",
            "length_ms",
            "time_ms",
        ):
            assert part in reasons
        rows = await cluster.rows()
        assert ("viewer", "u1") in rows and ("viewer", "u2") in rows

    asyncio.run(main())


def test_counts_from_a_newer_build_stop_the_worker_until_it_is_upgraded(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        batch = CountsBatch.of(0, 0, 0, np.zeros(1, COUNT_ROW))
        await cluster.log.append(COUNTS, [Message("0", encode_batch(msgspec.structs.replace(batch, schema=99)), 0)])
        with pytest.raises(SchemaMismatch, match="schema 99"):
            await asyncio.wait_for(cluster.worker().run(), 20)
        assert await cluster.log.read(TOPICS[COUNTS].dead_letters, 0, 0, 100) == []

    asyncio.run(main())


def test_events_without_a_stamp_count_under_the_catalogue_of_the_present(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        follower = cluster.follower()  # loaded before there was any video
        await follower.load()
        await register(cluster, *publications())
        await cluster.sink.append([watch(1, viewer="u1", video="v3")])
        await cluster.rest(cluster.worker())
        assert ("video", "v3") in await cluster.rows()

    asyncio.run(main())


def test_a_worker_on_another_host_goes_on_from_the_snapshot(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await tell(cluster, 7, count=200)
        await cluster.rest(cluster.worker("a"))
        assert await cluster.blobs.list("work/viewer-0/")
        end = (await cluster.ends("foryou.catalogue"))[0]
        await cluster.sink.append(
            [msgspec.structs.replace(e, event_id=f"s{e.event_id}", catalogue_offset=end, ingested_ms=e.time_ms)
             for e in every_kind(catalogue(), 100, 9)]
        )  # fmt: skip
        worker = cluster.worker("b")
        await cluster.rest(worker, hosts=("b",))
        # Only what came after the snapshot was read again.
        assert worker.metrics()["viewers"].processed == 100
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())


def test_what_does_not_fit_into_memory_during_an_outage_is_read_again_from_the_log(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        online = Flaky(cluster.online)
        await register(cluster, *publications())
        worker = cluster.worker(online=online, config=CONFIG.model_copy(update={"backlog": 10, "poll": 30}))
        task = asyncio.create_task(worker.run())
        online.away = True
        await send(cluster, every_kind(catalogue(), 300, 1))
        await asyncio.sleep(0.5)
        online.away = False
        await until(cluster.settled)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert worker.metrics()["viewers"].processed == 300
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())
