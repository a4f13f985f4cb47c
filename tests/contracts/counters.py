"""What every Counters promises."""

import asyncio

import pytest

from core.errors import InputError
from core.ports import Counters
from tests.contracts.one_loop import OneLoop, Run


class CountersContract(OneLoop):
    """Inherit it and give `open_counters` and `wait`."""

    async def open_counters(self) -> Counters:
        """An empty store."""
        raise NotImplementedError

    async def wait(self, ms: int) -> None:
        """Let so much of the store's time pass."""
        raise NotImplementedError

    @pytest.fixture
    def counters(self, run: Run) -> Counters:
        return run(self.open_counters())

    def test_additions_give_the_new_values(self, run: Run, counters: Counters) -> None:
        assert run(counters.add({"a": 2, "b": -1}, 10_000)) == {"a": 2, "b": -1}
        assert run(counters.add({"a": 40, "c": 0}, 10_000)) == {"a": 42, "c": 0}
        assert run(counters.get(["c", "a", "never", "b"])) == [0, 42, 0, -1]

    def test_a_counter_lives_from_its_first_addition(self, run: Run, counters: Counters) -> None:
        run(counters.add({"a": 1}, 300))
        assert run(counters.add({"a": 1}, 10_000)) == {"a": 2}
        run(self.wait(301))
        assert run(counters.get(["a"])) == [0]
        assert run(counters.add({"a": 5}, 10_000)) == {"a": 5}

    def test_additions_at_once_all_count(self, run: Run, counters: Counters) -> None:
        async def many() -> None:
            await asyncio.gather(*(counters.add({"a": 1, "b": 2}, 10_000) for _ in range(50)))

        run(many())
        assert run(counters.get(["a", "b"])) == [50, 100]

    def test_a_value_beyond_64_bits_is_refused(self, run: Run, counters: Counters) -> None:
        assert run(counters.add({"a": 2**63 - 2}, 10_000)) == {"a": 2**63 - 2}
        run(counters.add({"a": 1}, 10_000))
        with pytest.raises(InputError, match="64 bits"):
            run(counters.add({"a": 1}, 10_000))
        assert run(counters.get(["a"])) == [2**63 - 1]

    def test_a_deleted_counter_starts_again(self, run: Run, counters: Counters) -> None:
        run(counters.add({"a": 3, "b": 3}, 10_000))
        run(counters.delete(["a", "never"]))
        run(counters.delete([]))
        assert run(counters.get(["a", "b"])) == [0, 3]
        assert run(counters.get([])) == []
        assert run(counters.add({}, 10_000)) == {}
