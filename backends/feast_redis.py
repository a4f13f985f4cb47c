"""Feast's online store over the packed rows of Redis."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Literal, TypeVar

from feast import Entity, FeatureView
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from backends.feast_online import PackedOnlineStore, Work, merge
from backends.feast_rows import Written, tag_of
from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import Nodes, connect
from core.ports import FeatureStore
from core.settings import Settings

T = TypeVar("T")


class PackedRedisOnlineStoreConfig(FeastConfigBaseModel):
    """Where the packed rows are."""

    type: Literal["backends.feast_redis.PackedRedisOnlineStore"] = "backends.feast_redis.PackedRedisOnlineStore"
    """Which online store Feast loads."""

    url: str = ""
    """Redis as a URL; empty for FORYOU_REDIS and the settings beside it, so that no password lies in a file."""

    prefix: str = ""
    """Goes before every key."""

    cluster: bool = False
    """Whether the URL names a node of a Redis Cluster."""


class PackedRedisOnlineStore(PackedOnlineStore):
    """On one Redis or a cluster. The client lives on an event loop in a thread of its own, so that Feast may call from
    any thread, inside or outside a loop; a write reads the rows that it changes in one round trip and writes them in
    another, and the row's own writer must not write between the two.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._nodes: dict[tuple[str, str, bool], Nodes] = {}
        self._stores: dict[tuple[str, str, bool, str], RedisFeatureStore] = {}
        self._opening = threading.Lock()

    async def rows_of(self, config: RepoConfig, table: FeatureView) -> FeatureStore:
        """The rows under the view's schema."""
        wanted, schema = config.online_store, tag_of(table, "schema_hash")
        place = (wanted.url, wanted.prefix, wanted.cluster)
        if place not in self._nodes:
            self._nodes[place] = Nodes(wanted.url, wanted.cluster, wanted.prefix) if wanted.url else connect(Settings())
        found = self._stores.get((*place, schema))
        if found is None:
            found = self._stores[*place, schema] = await RedisFeatureStore.open(self._nodes[place], schema)
        return found

    async def put(self, config: RepoConfig, table: FeatureView, data: Written) -> None:
        """In one batched command a thousand rows."""
        await merge(await self.rows_of(config, table), table, data)

    def now(self, work: Work[T]) -> T:
        """The result of the work; the calling thread waits."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    async def later(self, work: Work[T]) -> T:
        """The result of the work; the calling loop goes on."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._running()))

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Let go of the connections. The rows stay: without them the marks beside them would be a lie."""
        with self._opening:
            loop, self._loop = self._loop, None
        if loop is not None:
            asyncio.run_coroutine_threadsafe(self._close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)

    async def _close(self) -> None:
        for nodes in self._nodes.values():
            await nodes.close()
        self._nodes.clear()
        self._stores.clear()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._opening:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="feast-redis", daemon=True).start()
            return self._loop
