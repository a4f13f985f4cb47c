"""What every Bytes promises."""

import asyncio

import pytest

from core.clock import Clock
from core.ports import Bytes


class BytesContract:
    """Inherit it and give `open_bytes`; the clock is the test's own."""

    def open_bytes(self, clock: Clock) -> Bytes:
        """An empty store that takes its time from the clock."""
        raise NotImplementedError

    @pytest.fixture
    def now(self) -> list[int]:
        return [1_000_000]

    @pytest.fixture
    def store(self, now: list[int]) -> Bytes:
        return self.open_bytes(lambda: now[0])

    def test_values_come_in_the_order_asked_for(self, store: Bytes) -> None:
        asyncio.run(store.set({"a": b"1", "b": b""}, 1_000))
        assert asyncio.run(store.get(["b", "c", "a"])) == [b"", None, b"1"]

    def test_a_value_ends_with_its_time(self, store: Bytes, now: list[int]) -> None:
        asyncio.run(store.set({"a": b"1"}, 1_000))
        now[0] += 999
        assert asyncio.run(store.get(["a"])) == [b"1"]
        now[0] += 1
        assert asyncio.run(store.get(["a"])) == [None]

    def test_setting_again_replaces_value_and_time(self, store: Bytes, now: list[int]) -> None:
        asyncio.run(store.set({"a": b"1"}, 1_000))
        asyncio.run(store.set({"a": b"2"}, 5_000))
        now[0] += 2_000
        assert asyncio.run(store.get(["a"])) == [b"2"]

    def test_a_deleted_key_is_gone(self, store: Bytes) -> None:
        asyncio.run(store.set({"a": b"1", "b": b"2"}, 1_000))
        asyncio.run(store.delete(["a", "never"]))
        assert asyncio.run(store.get(["a", "b"])) == [None, b"2"]
