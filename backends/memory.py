"""Ports inside the process: short-lived bytes that need no server."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from core.clock import Clock


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
