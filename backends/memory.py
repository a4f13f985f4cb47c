"""Ports inside the process: short-lived bytes, sorted sets, counters and bitmaps that need no server."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from backends.bits import check_bits
from core.clock import Clock
from core.errors import InputError

T = TypeVar("T")
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


class MemoryBytes:
    """Bytes with an end of life, at most `most_bytes` of keys and values; the longest unused go first."""

    def __init__(self, clock: Clock, most_bytes: int = 256 << 20) -> None:
        self._clock = clock
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[str, tuple[bytes, int]] = OrderedDict()

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order asked for, None for each that is unknown or past its end."""
        now_ms = self._clock()
        return [self._get(key, now_ms) for key in keys]

    async def set(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        """Keep each value for `ttl_ms` milliseconds, or less when room is needed."""
        until_ms = self._clock() + ttl_ms
        for key, value in values.items():
            self._forget(key)
            self._kept[key] = (value, until_ms)
            self._size += len(key) + len(value)
        while self._size > self._most:
            self._forget(next(iter(self._kept)))

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        for key in keys:
            self._forget(key)

    def _get(self, key: str, now_ms: int) -> bytes | None:
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= now_ms:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return found[0]

    def _forget(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._size -= len(key) + len(found[0])


class MemoryRanked:
    """Sorted sets as dictionaries that are sorted when they are read."""

    def __init__(self, clock: Clock) -> None:
        self._sets: _Mortal[dict[str, float]] = _Mortal(clock, dict)

    async def add(self, scores: Mapping[str, Mapping[str, float]], most: int, ttl_ms: int) -> None:
        """Set members' scores; each set then keeps its `most` highest, for `ttl_ms` milliseconds."""
        for key, by_member in scores.items():
            if by_member:
                kept = self._sets.make(key)
                kept.update(by_member)
                for member, _ in _highest_first(kept)[most:]:
                    del kept[member]
                self._sets.until(key, ttl_ms)

    async def top(self, keys: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """The `limit` highest of each set, highest first, ties by member downwards."""
        return [_highest_first(self._sets.get(key) or {})[: max(limit, 0)] for key in keys]

    async def remove(self, members: Mapping[str, Sequence[str]]) -> None:
        """Take members out of the sets."""
        for key, named in members.items():
            kept = self._sets.get(key) or {}
            for member in named:
                kept.pop(member, None)

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the sets."""
        self._sets.forget(keys)


def _highest_first(scores: Mapping[str, float]) -> list[tuple[str, float]]:
    ranked = sorted(((float(score), member) for member, score in scores.items()), reverse=True)
    return [(member, score) for score, member in ranked]


class MemoryCounters:
    """Integers of 64 bits that start at 0."""

    def __init__(self, clock: Clock) -> None:
        self._counts: _Mortal[int] = _Mortal(clock, int)

    async def add(self, amounts: Mapping[str, int], ttl_ms: int) -> dict[str, int]:
        """Add to each and give the new values; a counter lives `ttl_ms` milliseconds from its first addition."""
        new = {key: (self._counts.get(key) or 0) + amount for key, amount in amounts.items()}
        if wrong := [key for key, value in new.items() if not _LEAST <= value <= _MOST]:
            raise InputError(f"The counter {wrong[0]} would leave the range of 64 bits.")
        for key, value in new.items():
            first = self._counts.get(key) is None
            self._counts.put(key, value)
            if first:
                self._counts.until(key, ttl_ms)
        return new

    async def get(self, keys: Sequence[str]) -> list[int]:
        """In the order asked for, 0 for each unknown one."""
        return [self._counts.get(key) or 0 for key in keys]

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        self._counts.forget(keys)


class MemoryBitmaps:
    """Sets of the bits that are set."""

    def __init__(self, clock: Clock) -> None:
        self._maps: _Mortal[set[int]] = _Mortal(clock, set)

    async def mark(self, bits: Mapping[str, Sequence[int]], ttl_ms: int) -> None:
        """Set bits; the map lives for `ttl_ms` milliseconds from its last mark."""
        for numbers in bits.values():
            check_bits(numbers)
        for key, numbers in bits.items():
            if numbers:
                self._maps.make(key).update(numbers)
                self._maps.until(key, ttl_ms)

    async def test(self, key: str, bits: Sequence[int]) -> list[bool]:
        """Which of the bits are set, in the order asked for."""
        check_bits(bits)
        kept = self._maps.get(key) or set()
        return [bit in kept for bit in bits]

    async def count(self, key: str) -> int:
        """How many bits are set."""
        return len(self._maps.get(key) or ())

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the maps."""
        self._maps.forget(keys)


class _Mortal(Generic[T]):
    """Values that end with their time; those past it go at the latest when there are twice as many as before."""

    def __init__(self, clock: Clock, new: Callable[[], T]) -> None:
        self._clock, self._new = clock, new
        self._values: dict[str, T] = {}
        self._until_ms: dict[str, int] = {}
        self._sweep_at = 1_024

    def get(self, key: str) -> T | None:
        """The value, None where there is none or its time is over."""
        until_ms = self._until_ms.get(key)
        if until_ms is not None and until_ms <= self._clock():
            self.forget([key])
        return self._values.get(key)

    def make(self, key: str) -> T:
        """The value, a new one where there is none."""
        found = self.get(key)
        if found is None:
            found = self._new()
            self.put(key, found)
        return found

    def put(self, key: str, value: T) -> None:
        """Keep the value, in the time that is left to the one before."""
        self._values[key] = value
        if len(self._values) > self._sweep_at:
            now_ms = self._clock()
            self.forget([key for key, until_ms in self._until_ms.items() if until_ms <= now_ms])
            self._sweep_at = max(1_024, 2 * len(self._values))

    def until(self, key: str, ttl_ms: int) -> None:
        """Let the value live for `ttl_ms` milliseconds from now."""
        self._until_ms[key] = self._clock() + ttl_ms

    def forget(self, keys: Sequence[str]) -> None:
        """Drop the values."""
        for key in keys:
            self._values.pop(key, None)
            self._until_ms.pop(key, None)
