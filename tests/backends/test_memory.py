"""The ports inside the process keep their contracts, and their bounds."""

import asyncio

from backends.memory import MemoryBitmaps, MemoryBytes, MemoryCounters, MemoryRanked
from core.ports import Bitmaps, Bytes, Counters, Ranked
from tests.contracts.bitmaps import BitmapsContract
from tests.contracts.bytes import BytesContract
from tests.contracts.counters import CountersContract
from tests.contracts.ranked import RankedContract


class MovedClock:
    """Time passes when the test says so."""

    now_ms = 1_000_000

    def clock(self) -> int:
        return self.now_ms

    async def wait(self, ms: int) -> None:
        self.now_ms += ms


class TestMemoryBytes(MovedClock, BytesContract):
    async def open_bytes(self) -> Bytes:
        return MemoryBytes(self.clock)

    def test_the_last_moment_of_a_value(self) -> None:
        store = MemoryBytes(self.clock)
        asyncio.run(store.set({"a": b"1"}, 1_000))
        self.now_ms += 999
        assert asyncio.run(store.get(["a"])) == [b"1"]
        self.now_ms += 1
        assert asyncio.run(store.get(["a"])) == [None]

    def test_the_longest_unused_values_make_room(self) -> None:
        store = MemoryBytes(lambda: 0, most_bytes=33)  # three entries of 1 + 10 bytes
        for key in "abc":
            asyncio.run(store.set({key: b"0123456789"}, 1_000))
        asyncio.run(store.get(["a"]))
        asyncio.run(store.set({"d": b"0123456789"}, 1_000))
        found = asyncio.run(store.get(["a", "b", "c", "d"]))
        assert [value is not None for value in found] == [True, False, True, True]


class TestMemoryRanked(MovedClock, RankedContract):
    async def open_ranked(self) -> Ranked:
        return MemoryRanked(self.clock)


class TestMemoryCounters(MovedClock, CountersContract):
    async def open_counters(self) -> Counters:
        return MemoryCounters(self.clock)

    def test_counters_past_their_end_are_swept_out_without_being_read(self) -> None:
        counters = MemoryCounters(self.clock)
        for number in range(5_000):
            asyncio.run(counters.add({f"c{number}": 1}, 100))
            self.now_ms += 1
        assert len(counters._counts._values) < 1_100


class TestMemoryBitmaps(MovedClock, BitmapsContract):
    async def open_bitmaps(self) -> Bitmaps:
        return MemoryBitmaps(self.clock)
