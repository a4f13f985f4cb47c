"""What every Bytes promises."""

import pytest

from core.ports import Bytes
from tests.contracts.one_loop import OneLoop, Run


class BytesContract(OneLoop):
    """Inherit it and give `open_bytes` and `wait`."""

    async def open_bytes(self) -> Bytes:
        """An empty store."""
        raise NotImplementedError

    async def wait(self, ms: int) -> None:
        """Let so much of the store's time pass."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, run: Run) -> Bytes:
        return run(self.open_bytes())

    def test_values_come_in_the_order_asked_for(self, run: Run, store: Bytes) -> None:
        run(store.set({"a": b"1", "b": b""}, 10_000))
        assert run(store.get(["b", "c", "a", "b"])) == [b"", None, b"1", b""]

    def test_nothing_asked_is_nothing_answered(self, run: Run, store: Bytes) -> None:
        assert run(store.get([])) == []
        run(store.set({}, 10_000))
        run(store.delete([]))

    def test_a_value_ends_with_its_time(self, run: Run, store: Bytes) -> None:
        run(store.set({"a": b"1"}, 300))
        assert run(store.get(["a"])) == [b"1"]
        run(self.wait(301))
        assert run(store.get(["a"])) == [None]

    def test_setting_again_replaces_value_and_time(self, run: Run, store: Bytes) -> None:
        run(store.set({"a": b"1"}, 100))
        run(store.set({"a": b"2"}, 10_000))
        run(self.wait(101))
        assert run(store.get(["a"])) == [b"2"]

    def test_a_deleted_key_is_gone(self, run: Run, store: Bytes) -> None:
        run(store.set({"a": b"1", "b": b"2"}, 10_000))
        run(store.delete(["a", "never"]))
        assert run(store.get(["a", "b"])) == [None, b"2"]

    def test_thousands_of_values_and_any_bytes(self, run: Run, store: Bytes) -> None:
        values = {f"{{u{number}}}:x": bytes([number % 256, 0, 13, 10]) * 9 for number in range(2_500)}
        run(store.set(values, 60_000))
        assert run(store.get(list(values))) == list(values.values())
