"""What every Bitmaps promises."""

import pytest

from core.errors import InputError
from core.ports import Bitmaps
from tests.contracts.one_loop import OneLoop, Run


class BitmapsContract(OneLoop):
    """Inherit it and give `open_bitmaps` and `wait`."""

    async def open_bitmaps(self) -> Bitmaps:
        """An empty store."""
        raise NotImplementedError

    async def wait(self, ms: int) -> None:
        """Let so much of the store's time pass."""
        raise NotImplementedError

    @pytest.fixture
    def maps(self, run: Run) -> Bitmaps:
        return run(self.open_bitmaps())

    def test_marked_bits_are_set_and_no_others(self, run: Run, maps: Bitmaps) -> None:
        run(maps.mark({"a": [0, 7, 8, 1_000_000], "b": [3]}, 10_000))
        run(maps.mark({"a": [7, 9]}, 10_000))
        assert run(maps.test("a", [1_000_000, 1, 9, 0, 2_000_000])) == [True, False, True, True, False]
        assert [run(maps.count(key)) for key in ("a", "b", "never")] == [5, 1, 0]
        assert run(maps.test("never", [3])) == [False]

    def test_thousands_of_bits(self, run: Run, maps: Bitmaps) -> None:
        run(maps.mark({"a": list(range(0, 60_000, 3))}, 10_000))
        assert run(maps.count("a")) == 20_000
        assert sum(run(maps.test("a", list(range(9_000))))) == 3_000

    def test_a_map_lives_from_its_last_mark(self, run: Run, maps: Bitmaps) -> None:
        run(maps.mark({"a": [1], "b": [1]}, 300))
        run(maps.mark({"b": [2]}, 10_000))
        assert run(maps.count("a")) == 1
        run(self.wait(301))
        assert (run(maps.count("a")), run(maps.count("b"))) == (0, 2)

    @pytest.mark.parametrize("bit", [-1, 2**32])
    def test_a_number_that_is_no_bit_is_refused_and_nothing_is_set(self, run: Run, maps: Bitmaps, bit: int) -> None:
        with pytest.raises(InputError, match="bits 0 to 4,294,967,295"):
            run(maps.mark({"b": [1], "a": [5, bit]}, 10_000))
        with pytest.raises(InputError, match="bits 0 to"):
            run(maps.test("a", [bit]))
        assert (run(maps.count("a")), run(maps.count("b"))) == (0, 0)

    def test_a_deleted_map_is_empty(self, run: Run, maps: Bitmaps) -> None:
        run(maps.mark({"a": [1], "b": [1], "c": []}, 10_000))
        run(maps.delete(["a", "never"]))
        run(maps.delete([]))
        assert [run(maps.count(key)) for key in "abc"] == [0, 1, 0]
        assert run(maps.test("b", [])) == []
