"""What every Ranked promises."""

import pytest

from core.ports import Ranked
from tests.contracts.one_loop import OneLoop, Run


class RankedContract(OneLoop):
    """Inherit it and give `open_ranked` and `wait`."""

    async def open_ranked(self) -> Ranked:
        """An empty store."""
        raise NotImplementedError

    async def wait(self, ms: int) -> None:
        """Let so much of the store's time pass."""
        raise NotImplementedError

    @pytest.fixture
    def sets(self, run: Run) -> Ranked:
        return run(self.open_ranked())

    def test_the_highest_come_first_and_sets_do_not_mix(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {"x": 1.5, "y": 3.0, "z": -2.0}, "b": {"x": 9.0}}, 10, 10_000))
        assert run(sets.top(["b", "never", "a"], 2)) == [[("x", 9.0)], [], [("y", 3.0), ("x", 1.5)]]
        assert run(sets.top(["a"], 10)) == [[("y", 3.0), ("x", 1.5), ("z", -2.0)]]
        assert run(sets.top(["a"], 0)) == [[]]

    def test_ties_go_by_member_downwards(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {"b": 1.0, "c": 1.0, "a": 1.0, "é": 1.0, "Z": 1.0}}, 10, 10_000))
        assert [member for member, _ in run(sets.top(["a"], 10))[0]] == ["é", "c", "b", "a", "Z"]

    def test_only_the_best_are_kept(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {f"m{n}": float(n) for n in range(5_000)}}, 3, 10_000))
        assert run(sets.top(["a"], 10)) == [[("m4999", 4999.0), ("m4998", 4998.0), ("m4997", 4997.0)]]
        run(sets.add({"a": {"low": 1.0, "high": 9e9}}, 3, 10_000))
        assert [member for member, _ in run(sets.top(["a"], 10))[0]] == ["high", "m4999", "m4998"]

    def test_a_score_is_replaced_to_the_last_bit(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {"x": 5.0}}, 10, 10_000))
        run(sets.add({"a": {"x": 1_763_000_000_000.1}}, 10, 10_000))
        run(sets.add({"b": {"x": 0.1 + 0.2}}, 10, 10_000))
        assert run(sets.top(["a", "b"], 10)) == [[("x", 1_763_000_000_000.1)], [("x", 0.1 + 0.2)]]

    def test_a_set_ends_with_its_time_counted_from_the_last_addition(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {"x": 1.0}, "b": {"x": 1.0}}, 10, 300))
        run(sets.add({"b": {"y": 2.0}}, 10, 10_000))
        assert run(sets.top(["a"], 1)) == [[("x", 1.0)]]
        run(self.wait(301))
        assert run(sets.top(["a", "b"], 5)) == [[], [("y", 2.0), ("x", 1.0)]]

    def test_members_and_sets_can_be_taken_out(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {"x": 1.0, "y": 2.0}, "b": {"x": 1.0}, "c": {"x": 1.0}}, 10, 10_000))
        run(sets.remove({"a": ["y", "never"], "never": ["x"], "b": []}))
        run(sets.delete(["c", "never"]))
        assert run(sets.top(["a", "b", "c"], 5)) == [[("x", 1.0)], [("x", 1.0)], []]

    def test_nothing_given_changes_nothing(self, run: Run, sets: Ranked) -> None:
        run(sets.add({"a": {}}, 10, 10_000))
        run(sets.add({}, 10, 10_000))
        run(sets.remove({}))
        run(sets.delete([]))
        assert run(sets.top(["a"], 5)) == [[]]
        assert run(sets.top([], 5)) == []
