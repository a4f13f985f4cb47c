"""Many requests share one connection to Redis and never get each other's answers."""

import asyncio

import pytest

from backends.redis.bytes import RedisBytes
from backends.redis.nodes import Nodes
from core.errors import ContractError, Unavailable
from tests.contracts.one_loop import OneLoop
from tests.integration import servers


class TestChannel(OneLoop):
    @pytest.fixture
    def nodes(self, run):
        self.open = Nodes(servers.require("redis").redis, prefix=servers.unique("channel") + ":")
        return self.open

    async def close(self):
        await self.open.delete(await self.open.keys(""))
        await self.open.close()

    def test_everyone_gets_their_own_answers(self, run, nodes):
        store = RedisBytes(nodes)
        values = {f"k{n}": f"{n}".encode() * (n % 7) * 1_000 for n in range(300)}

        async def one(n):
            await store.set({f"k{n}": values[f"k{n}"]}, 60_000)
            return await store.get([f"k{n}", "never", f"k{n}"])

        async def all_at_once():
            return await asyncio.gather(*(one(n) for n in range(300)))

        assert run(all_at_once()) == [[values[f"k{n}"], None, values[f"k{n}"]] for n in range(300)]

    def test_who_gives_up_does_not_disturb_the_others(self, run, nodes):
        store = RedisBytes(nodes)

        async def some_give_up():
            await store.set({f"k{n}": f"{n}".encode() for n in range(100)}, 60_000)
            tasks = [asyncio.create_task(store.get([f"k{n}"])) for n in range(100)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

        for n, found in enumerate(run(some_give_up())):
            assert isinstance(found, asyncio.CancelledError) if n % 3 == 0 else found == [f"{n}".encode()]

    def test_an_error_among_answers_is_raised_and_the_rest_stays_in_step(self, run, nodes):
        async def both():
            wrong = nodes.run([("SET", nodes.prefix + "a", "1"), ("NOSUCH",), ("SET", nodes.prefix + "b", "2")])
            return await asyncio.gather(wrong, nodes.get(["a", "b"]), return_exceptions=True)

        error, values = run(both())
        assert isinstance(error, ContractError)
        assert "unknown command" in error.sentence
        assert values == [b"1", b"2"]

    def test_a_broken_connection_is_told_to_all_who_wait_and_opened_again(self, run, nodes):
        async def broken():
            await nodes.get(["a"])
            waiting = [asyncio.create_task(nodes.get(["a"])) for _ in range(3)]
            await asyncio.sleep(0)
            await nodes.close()
            told = await asyncio.gather(*waiting, return_exceptions=True)
            return told, await nodes.get(["a"])

        told, after = run(broken())
        assert all(isinstance(error, Unavailable) for error in told)
        assert after == [None]

    def test_another_event_loop_gets_a_connection_of_its_own(self, nodes):
        assert [asyncio.run(nodes.get(["a"])) for _ in range(2)] == [[None], [None]]
