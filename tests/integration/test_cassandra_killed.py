"""Cassandra is killed in the middle of acknowledged writes, comes back, stands still, and nothing is lost."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from backends.cassandra.history import CassandraHistory, ensure_schema
from core.errors import Unavailable
from core.ports import Record
from core.settings import Settings
from deploy.stack import Stack
from tests.contracts.events import impression, like, records, watch
from tests.integration import servers

VIEWERS = [f"viewer-{number}" for number in range(10)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A Cassandra that may be killed, whose commit log is in batch mode."""
    with servers.stack_to_break("cassandra") as stack:
        yield stack


@dataclass
class Load:
    """Micro-batches one after the other; each is given again until it is acknowledged."""

    store: CassandraHistory
    sent: list[Record] = field(default_factory=list)
    acknowledged: int = 0
    refused: int = 0
    ended: bool = False

    async def run(self) -> None:
        while not self.ended:
            await self._batch(_records(len(self.sent) + 1))

    async def _batch(self, batch: list[Record]) -> None:
        self.sent += batch
        while True:
            try:
                await self.store.record(batch)
            except Unavailable:
                self.refused += 1
                await asyncio.sleep(0.2)
            else:
                self.acknowledged += len(batch)
                return


def _records(start: int) -> list[Record]:
    made = (impression, watch, like)
    events = [made[at % 3](at, VIEWERS[at % 7], f"v{at}") for at in range(start, start + 30)]
    return records(*events, start=start)


async def _kill_in_the_middle(stack: Stack, settings: Settings) -> Load:
    store = await CassandraHistory.open(settings)
    load = Load(store)
    running = asyncio.create_task(load.run())
    await _until(lambda: load.acknowledged > 1_500)
    await asyncio.to_thread(stack.kill, "cassandra")
    before = load.acknowledged
    await _until(lambda: load.refused > 0)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        await store.seen(VIEWERS[0])
    assert time.monotonic() - began < 2.5, "an outage is known at once"
    late = asyncio.create_task(CassandraHistory.open(settings, patience_s=60))  # it is about to start
    await asyncio.to_thread(stack.start, "cassandra")
    await (await late).close()
    await _until(lambda: load.acknowledged > before + 300)  # the same process, the same store
    load.ended = True
    await running
    return load


async def _until(holds: Callable[[], bool], limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end, "it did not come to pass in time"
        await asyncio.sleep(0.02)


def test_nothing_acknowledged_is_lost_and_nothing_is_doubled(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(cassandra=stack.addresses().cassandra, cassandra_keyspace="killed")
    asyncio.run(ensure_schema(settings))

    async def play() -> None:
        load = await _kill_in_the_middle(stack, settings)
        kept = [row for viewer in VIEWERS for row in await load.store.interactions(viewer)]
        ids = [row.event_id for row in kept]
        lost = {record.event.event_id for record in load.sent} - set(ids)
        with capsys.disabled():
            print(
                f"\nsent {len(load.sent)}, acknowledged {load.acknowledged} (refused calls {load.refused}), stored"
                f" {len(ids)}, duplicates {len(ids) - len(set(ids))}, lost {len(lost)}"
            )
        assert load.acknowledged == len(load.sent) == len(ids)
        assert (len(set(ids)), lost) == (len(ids), set())
        likes = {viewer: (await load.store.reactions(viewer)).liked for viewer in VIEWERS}
        expected = {record.event.video_id for record in load.sent if record.event.event_id.startswith("like")}
        assert set().union(*likes.values()) == expected
        await load.store.close()

    asyncio.run(play())


def test_a_server_that_stands_still_costs_a_read_its_limit_and_no_more(stack: Stack) -> None:
    settings = Settings(
        cassandra=stack.addresses().cassandra, cassandra_keyspace="stands_still", cassandra_timeout_ms=500
    )
    asyncio.run(ensure_schema(settings))

    async def play() -> None:
        store = await CassandraHistory.open(settings)
        await store.record(records(impression(1)))
        await asyncio.to_thread(stack.suspend, "cassandra")
        try:
            began = time.monotonic()
            answers = await asyncio.gather(*(store.seen("ann") for _ in range(50)), return_exceptions=True)
            took = time.monotonic() - began
        finally:
            await asyncio.to_thread(stack.resume, "cassandra")
        assert all(isinstance(answer, Unavailable) for answer in answers)
        assert 0.4 < took < 2
        await _until_read(store)
        await store.close()

    asyncio.run(play())


async def _until_read(store: CassandraHistory) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            assert await store.seen("ann") == ["v1"]
            return
        except Unavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.1)
