"""Two ways of a capped feed write: redis-py's pipeline of ZADD and trim, and the product's inboxes."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import redis

from backends.redis.inboxes import RedisInboxes
from backends.redis.nodes import Nodes

CAP: Final = 100
START_MS: Final = 1_700_000_000_000
LIFE_MS: Final = 3_600_000


class Plain:
    """What a service does with redis-py: two commands for each inbox, in one pipeline without a transaction."""

    def __init__(self, url: str, cluster: bool) -> None:
        self.client: Any = redis.RedisCluster.from_url(url) if cluster else redis.Redis.from_url(url)

    def fill(self, viewers: Sequence[str]) -> None:
        """Inboxes filled to the cap."""
        pipe = self.client.pipeline(transaction=False) if _takes_transaction(self.client) else self.client.pipeline()
        for viewer in viewers:
            pipe.zadd(f"plain:{{{viewer}}}", {f"v{number}": START_MS + number for number in range(CAP)})
        pipe.execute()

    def push(self, viewers: Sequence[str], video: str, upload_ms: int) -> None:
        """One video into all."""
        pipe = self.client.pipeline(transaction=False) if _takes_transaction(self.client) else self.client.pipeline()
        for viewer in viewers:
            key = f"plain:{{{viewer}}}"
            pipe.zadd(key, {video: upload_ms})
            pipe.zremrangebyrank(key, 0, -1 - CAP)
        pipe.execute()

    def videos(self, viewer: str) -> list[tuple[str, int]]:
        """What an inbox holds, newest first."""
        found = self.client.zrevrange(f"plain:{{{viewer}}}", 0, -1, withscores=True)
        return [(member.decode(), int(score)) for member, score in found]


def _takes_transaction(client: Any) -> bool:
    return isinstance(client, redis.Redis)


async def product(nodes: Nodes, viewers: Sequence[str]) -> RedisInboxes:
    """The product's inboxes, filled to the cap."""
    inboxes, videos = RedisInboxes(nodes), {f"v{number}": START_MS + number for number in range(CAP)}
    for viewer in viewers:
        await inboxes.begin(viewer, "token", LIFE_MS)
        await inboxes.fill(viewer, "token", b"note", videos, CAP, LIFE_MS)
    return inboxes


async def by_turns(
    plain: Plain, inboxes: RedisInboxes, viewers: Sequence[str], rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Seconds of the wall and of this process's processor for each push of one video to all viewers."""
    spent: dict[str, list[tuple[float, float]]] = {"redis-py": [], "product": []}
    for number in range(rounds):
        video, upload_ms = f"w{number}", START_MS + CAP + number
        for name in ("redis-py", "product") if number % 2 else ("product", "redis-py"):
            wall, own = time.perf_counter(), time.process_time()
            if name == "product":
                held = await inboxes.push(viewers, {video: upload_ms}, CAP)
                assert len(held) == len(viewers)
            else:
                await asyncio.to_thread(plain.push, viewers, video, upload_ms)
            spent[name].append((time.perf_counter() - wall, time.process_time() - own))
    return spent


async def same(plain: Plain, inboxes: RedisInboxes, viewers: Sequence[str]) -> None:
    """AssertionError where an inbox is not the same both ways, or not as full as it may be."""
    for viewer in viewers:
        inbox = await inboxes.read(viewer, CAP, LIFE_MS)
        assert inbox is not None
        assert inbox.videos == plain.videos(viewer), viewer
        assert len(inbox.videos) == CAP
