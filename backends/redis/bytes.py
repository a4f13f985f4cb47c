"""Bytes on Redis."""

from collections.abc import Mapping, Sequence

from backends.redis.nodes import Nodes


class RedisBytes:
    """Short-lived bytes; Redis forgets them on time."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order asked for, None for each that is unknown or past its end."""
        return await self._nodes.get(keys)

    async def set(self, values: Mapping[str, bytes], ttl_ms: int) -> None:
        """Keep each value for `ttl_ms` milliseconds."""
        prefix = self._nodes.prefix
        await self._nodes.run([("SET", prefix + key, value, "PX", ttl_ms) for key, value in values.items()])

    async def delete(self, keys: Sequence[str]) -> None:
        """Forget the keys."""
        await self._nodes.delete(keys)
