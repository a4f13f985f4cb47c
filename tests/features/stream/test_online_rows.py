"""A partition's rows in the online store: a writer that was replaced and comes late leaves nothing behind."""

import asyncio

import pytest

from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.partition_state import SqlitePartitionState
from core.errors import Unavailable
from core.ports import Advance
from features.stream.online_rows import OnlineRows

END = 1_000


class Slow:
    """A store that keeps the rows of one writer on their way until they are let go."""

    def __init__(self, store):
        self._store, self.gate, self.held = store, asyncio.Event(), False
        self.gate.set()

    async def marks(self, names):
        return await self._store.marks(names)

    async def write(self, rows, applied):
        if rows:
            self.held = not self.gate.is_set()
            await self.gate.wait()
            self.held = False
        return await self._store.write(rows, applied)


class Writer:
    """A worker's state of one partition, and its rows in the shared store."""

    def __init__(self, store, folder, name, replaced_s=0.2):
        self.store = Slow(store)
        self.state = SqlitePartitionState(Database(folder / f"{name}.db", durable=False))
        self.online = OnlineRows(self.store, self.state, "viewer:3", lambda key: ("viewer", key), END, replaced_s)

    async def count(self, offset, *keys):
        """One micro-batch as a stage does it: online first, then the file."""
        rows = [(key, offset, b"row as of %d" % offset) for key in keys]
        await self.online.write(rows, offset)
        self.state.commit(Advance(offset, rows))

    async def begins_late(self, offset, *keys):
        """The task of a micro-batch whose rows are on their way."""
        self.store.gate.clear()
        task = asyncio.create_task(self.count(offset, *keys))
        while not self.store.held:
            await asyncio.sleep(0)
        return task


@pytest.fixture
def store(tmp_path):
    return SqliteFeatureStore(Database(tmp_path / "online.db", durable=False), "s")


async def held(store):
    return {key: int(row.rsplit(b" ", 1)[1]) for key, row in await store.scan("viewer")}


async def replaced(store, folder):
    """A worker whose write of u1 as of 12 is on its way, and its successor, who replayed up to 30."""
    old, new = Writer(store, folder, "old"), Writer(store, folder, "new")
    await old.count(10, "u1", "u2")
    late = await old.begins_late(12, "u1")
    for offset, keys in ((10, ("u1", "u2")), (12, ("u1",)), (30, ("u1",))):
        await new.count(offset, *keys)
    assert await held(store) == {"u1": 30, "u2": 10}
    return old, new, late


def test_a_late_write_of_older_rows_is_found_when_the_partition_rests(tmp_path, store):
    async def main():
        old, new, late = await replaced(store, tmp_path)
        old.store.gate.set()
        await late
        assert await held(store) == {"u1": 12, "u2": 10}
        await new.online.look(apart_s=0)
        assert await held(store) == {"u1": 30, "u2": 10}

    asyncio.run(main())


def test_a_late_write_is_found_by_the_next_one(tmp_path, store):
    async def main():
        old, new, late = await replaced(store, tmp_path)
        old.store.gate.set()
        await late
        await new.count(31, "u2")
        assert await held(store) == {"u1": 30, "u2": 31}

    asyncio.run(main())


def test_a_late_write_is_found_when_the_partition_leaves(tmp_path, store):
    async def main():
        old, new, late = await replaced(store, tmp_path)
        old.store.gate.set()
        await late
        await new.online.finish()
        assert (await held(store))["u1"] == 30
        assert await store.marks(["viewer:3"]) == [30]

    asyncio.run(main())


def test_a_late_write_between_the_look_and_the_write_of_another_is_found(tmp_path, store):
    async def main():
        old, new, late = await replaced(store, tmp_path)
        next_one = await new.begins_late(31, "u2")
        old.store.gate.set()
        await late
        assert await held(store) == {"u1": 12, "u2": 10}
        new.store.gate.set()
        await next_one
        assert await held(store) == {"u1": 30, "u2": 31}

    asyncio.run(main())


def test_who_was_replaced_yields_and_takes_the_rows_back_only_when_it_still_has_its_partition(tmp_path, store):
    async def main():
        old, new, late = await replaced(store, tmp_path)
        old.store.gate.set()
        await late
        await new.online.look(apart_s=0)
        with pytest.raises(Unavailable, match="Another worker has taken over the rows of viewer:3"):
            await old.count(14, "u1")
        assert await held(store) == {"u1": 30, "u2": 10}
        await asyncio.sleep(0.25)  # nobody took our partition: the other was the late one
        await old.count(31, "u1")
        assert (await held(store))["u1"] == 31
        with pytest.raises(Unavailable):
            await new.count(31, "u1")

    asyncio.run(main())


def test_a_successor_finds_what_the_late_write_left_when_nobody_could_mend_it(tmp_path, store):
    async def main():
        old, new, late = await replaced(store, tmp_path)
        await new.online.finish()
        old.store.gate.set()
        await late  # after its successor has ended
        third = OnlineRows(store, new.state, "viewer:3", lambda key: ("viewer", key), END)
        await third.write([], 30)
        assert await held(store) == {"u1": 30, "u2": 10}

    asyncio.run(main())


def test_rows_that_the_store_lost_are_there_again_without_any_event(tmp_path, store):
    async def main():
        writer = Writer(store, tmp_path, "one")
        await writer.count(10, "u1", "u2")
        await writer.count(20, "u2")
        store._database.execute("DELETE FROM features")
        store._database.execute("DELETE FROM feature_facts WHERE name LIKE 'applied%'")
        await writer.online.look(apart_s=0)
        assert await held(store) == {"u1": 10, "u2": 20}
        rewritten = writer.online.rewritten
        await writer.online.look(apart_s=0)
        await writer.count(21, "u1")
        assert writer.online.rewritten == rewritten == 2

    asyncio.run(main())
