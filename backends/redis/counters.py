"""Counters on Redis."""

from collections.abc import Mapping, Sequence

from backends.redis.nodes import Nodes

# A counter is never without its end of life, whatever dies in between. Numbers of Lua have 53 bits, so it gives text.
_ADD = """
redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
"""


class RedisCounters:
    """Integers of 64 bits that start at 0; an addition is sent once, and one that got no answer may have counted."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def add(self, amounts: Mapping[str, int], ttl_ms: int) -> dict[str, int]:
        """Add to each and give the new values; a counter lives `ttl_ms` milliseconds from its first addition."""
        prefix = self._nodes.prefix
        values = await self._nodes.run([("EVAL", _ADD, 1, prefix + key, n, ttl_ms) for key, n in amounts.items()])
        return dict(zip(amounts, map(int, values), strict=True))

    async def get(self, keys: Sequence[str]) -> list[int]:
        """In the order asked for, 0 for each unknown one."""
        return [int(value or 0) for value in await self._nodes.get(keys)]

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        await self._nodes.delete(keys)
