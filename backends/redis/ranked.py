"""Ranked on Redis: sorted sets."""

from collections.abc import Mapping, Sequence

from backends.redis.nodes import Nodes

# A set is never without its end of life, nor over its bound, whatever dies in between.
_ADD = """
for at = 3, #ARGV, 2000 do  -- Lua unpacks some thousand values at once
  redis.call('ZADD', KEYS[1], unpack(ARGV, at, math.min(at + 1999, #ARGV)))
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class RedisRanked:
    """Sorted sets; the lowest beyond the bound go with each addition."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def add(self, scores: Mapping[str, Mapping[str, float]], most: int, ttl_ms: int) -> None:
        """Set members' scores; each set then keeps its `most` highest, for `ttl_ms` milliseconds."""
        prefix, commands = self._nodes.prefix, []
        for key, by_member in scores.items():
            flat = [part for member, score in by_member.items() for part in (repr(float(score)), member)]
            if flat:
                commands.append(("EVAL", _ADD, 1, prefix + key, most, ttl_ms, *flat))
        await self._nodes.run(commands)

    async def top(self, keys: Sequence[str], limit: int) -> list[list[tuple[str, float]]]:
        """The `limit` highest of each set, highest first, ties by member downwards."""
        if limit < 1:
            return [[] for _ in keys]
        prefix = self._nodes.prefix
        answers = await self._nodes.run([("ZREVRANGE", prefix + key, 0, limit - 1, "WITHSCORES") for key in keys])
        return [
            [(_text(member), float(score)) for member, score in zip(flat[::2], flat[1::2], strict=True)]
            for flat in answers
        ]

    async def remove(self, members: Mapping[str, Sequence[str]]) -> None:
        """Take members out of the sets."""
        prefix = self._nodes.prefix
        await self._nodes.run([("ZREM", prefix + key, *named) for key, named in members.items() if named])

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the sets."""
        await self._nodes.delete(keys)


def _text(member: bytes) -> str:
    """A member as it was given; one that is no text, so none of ours, still comes, for the caller to judge."""
    return member.decode(errors="surrogateescape")
