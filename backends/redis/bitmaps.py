"""Bitmaps on Redis."""

from collections.abc import Mapping, Sequence

from backends.bits import check_bits
from backends.redis.nodes import Nodes

# A map is never without its end of life, whatever dies in between.
_MARK = """
for at = 2, #ARGV do redis.call('SETBIT', KEYS[1], ARGV[at], 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""


class RedisBitmaps:
    """Strings of bits, as long as their highest one."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def mark(self, bits: Mapping[str, Sequence[int]], ttl_ms: int) -> None:
        """Set bits; the map lives for `ttl_ms` milliseconds from its last mark."""
        for numbers in bits.values():
            check_bits(numbers)
        prefix = self._nodes.prefix
        await self._nodes.run([("EVAL", _MARK, 1, prefix + key, ttl_ms, *some) for key, some in bits.items() if some])

    async def test(self, key: str, bits: Sequence[int]) -> list[bool]:
        """Which of the bits are set, in the order asked for."""
        check_bits(bits)
        gets = [word for bit in bits for word in ("GET", "u1", bit)]
        answers = await self._nodes.run([("BITFIELD_RO", self._nodes.prefix + key, *gets)] if gets else [])
        return [bool(bit) for bit in answers[0]] if answers else []

    async def count(self, key: str) -> int:
        """How many bits are set."""
        [count] = await self._nodes.run([("BITCOUNT", self._nodes.prefix + key)])
        return int(count)

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the maps."""
        await self._nodes.delete(keys)
