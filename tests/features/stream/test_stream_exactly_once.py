"""Every event counts once: workers are killed at any effect, restarted and rebalanced, and leave an obvious replay."""

import asyncio

import numpy as np
import pytest

from core.ports import Record
from core.topics import USER_INTERACTION
from core.video_table import Vocabulary
from features.columns import columns_of
from features.counting import count_events
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.packed import record_of, unstamped
from features.state import FeatureState
from tests.features.stream.cluster import Cluster, Killed, Life
from tests.features.stream.oracle import Oracle
from tests.features.stream.story import tell


def standing(rows):
    """(unstamped row, version) of every row."""
    found = {}
    for (entity, key), raw in rows.items():
        record = record_of(raw, VIEWER_DTYPE if entity == "viewer" else COUNTS_DTYPE)
        found[entity, key] = (unstamped(raw), int(record["version"][0]))
    return found


async def wanted(cluster):
    oracle = await Oracle(cluster.log).load()
    return await oracle.viewers(cluster.partitions) | await oracle.counters(cluster.partitions)


def assert_same(found, expected):
    assert sorted(found) == sorted(expected)
    assert [key for key in expected if found[key][0] != expected[key][0]] == []
    assert [key for key in expected if found[key][1] != expected[key][1]] == []


def test_the_stream_leaves_what_an_obvious_replay_leaves(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        await tell(cluster, 1)
        worker = cluster.worker()
        await cluster.rest(worker)
        assert_same(standing(await cluster.rows()), await wanted(cluster))
        assert worker.metrics()["viewers"].duplicates > 0

    asyncio.run(main())


async def live_and_die(cluster, host, rng, stop, deaths):
    """One process after the other on a host, each killed at a random effect; `deaths` gets each one's host."""
    while not stop.is_set():
        life = Life(int(rng.integers(3, 120)), bool(rng.integers(2)))
        task = asyncio.create_task(cluster.worker(host, life).run())
        waiter = asyncio.create_task(stop.wait())
        await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if not task.done():
            life.dead = True
            task.cancel()
        outcome = (await asyncio.gather(task, return_exceptions=True))[0]
        assert isinstance(outcome, Killed | asyncio.CancelledError), outcome
        await life.buried()
        deaths.append(host)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_two_workers_that_are_killed_again_and_again_lose_and_double_nothing(tmp_path, seed):
    async def main():
        cluster, rng, stop = Cluster(tmp_path), np.random.default_rng(seed), asyncio.Event()
        deaths = []
        lives = [asyncio.create_task(live_and_die(cluster, host, rng, stop, deaths)) for host in ("a", "b")]
        await tell(cluster, seed, count=400)
        await asyncio.sleep(4)
        async with asyncio.timeout(60):  # on a machine that is busy they live longer
            while len(deaths) <= 6:
                await asyncio.sleep(0.1)
        stop.set()
        await asyncio.gather(*lives)
        await cluster.rest(cluster.worker("a"), cluster.worker("b"), hosts=("a", "b"))
        assert_same(standing(await cluster.rows()), await wanted(cluster))

    asyncio.run(main())


def test_the_two_stages_leave_the_counters_that_counting_at_once_leaves(tmp_path):
    async def main():
        cluster = Cluster(tmp_path, partitions=1)
        await tell(cluster, 5)
        await cluster.rest(cluster.worker())
        oracle = await Oracle(cluster.log).load()
        table, viewers = oracle.table(0), {}
        # Only the events whose traits are the present ones are comparable to counting on the present catalogue.
        state = FeatureState(table)
        events = await oracle.events(0)
        entries = await cluster.log.read(USER_INTERACTION, 0, 0, 100_000)
        assert len(entries) > len(events) > 300
        rows = np.zeros(64, VIEWER_DTYPE)
        for offset, event in events.items():
            state.table = oracle.table(event.catalogue_offset)
            state.ensure()
            count_events(state, columns_of([Record(offset, event)], state.table, viewers, Vocabulary()), rows)
        found = await cluster.rows()
        assert found
        for (entity, key), raw in found.items():
            if entity == "video":
                assert unstamped(raw) == unstamped(state.videos.pack([table.row(key)])[0])
            elif entity == "author":
                assert unstamped(raw) == unstamped(state.authors.pack([table.authors.code(key)])[0])
            elif entity == "trend":
                assert unstamped(raw) == unstamped(state.trends.pack([int(key)])[0])

    asyncio.run(main())
