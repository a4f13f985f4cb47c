"""Every port on one Redis and on a cluster of three, where no command may cross slots."""

import asyncio
from pathlib import Path

import pytest

from backends.redis.bitmaps import RedisBitmaps
from backends.redis.bytes import RedisBytes
from backends.redis.counters import RedisCounters
from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import Nodes
from backends.redis.ranked import RedisRanked
from core.errors import SchemaMismatch
from core.ports import Bitmaps, Bytes, Counters, FeatureStore, Ranked
from tests.contracts.bitmaps import BitmapsContract
from tests.contracts.bytes import BytesContract
from tests.contracts.counters import CountersContract
from tests.contracts.feature_store import FeatureStoreContract
from tests.contracts.ranked import RankedContract
from tests.integration import servers


def one_redis(prefix: str) -> Nodes:
    return Nodes(servers.require("redis").redis, prefix=prefix)


def a_cluster(prefix: str) -> Nodes:
    return Nodes(f"redis://127.0.0.1:{servers.require_redis_cluster()[0]}", cluster=True, prefix=prefix)


class OnOneRedis:
    """Keys of its own for each test."""

    nodes: Nodes | None = None
    prefixes: dict[Path | None, str]

    def connect(self, folder: Path | None = None) -> Nodes:
        self.prefixes = getattr(self, "prefixes", {})
        prefix = self.prefixes.setdefault(folder, servers.unique("redis") + ":")
        if self.nodes is None or self.nodes.prefix != prefix:
            self.nodes = self.connected(prefix)
        return self.nodes

    def connected(self, prefix: str) -> Nodes:
        return one_redis(prefix)

    async def wait(self, ms: int) -> None:
        await asyncio.sleep(ms / 1_000)

    async def close(self) -> None:
        if self.nodes is not None:
            await self.nodes.delete(await self.nodes.keys(""))
            await self.nodes.close()


class OnACluster(OnOneRedis):
    """The same on three nodes."""

    def connected(self, prefix: str) -> Nodes:
        return a_cluster(prefix)


class TestRedisBytes(OnOneRedis, BytesContract):
    async def open_bytes(self) -> Bytes:
        return RedisBytes(self.connect())


class TestRedisRanked(OnOneRedis, RankedContract):
    async def open_ranked(self) -> Ranked:
        return RedisRanked(self.connect())


class TestRedisCounters(OnOneRedis, CountersContract):
    async def open_counters(self) -> Counters:
        return RedisCounters(self.connect())


class TestRedisBitmaps(OnOneRedis, BitmapsContract):
    async def open_bitmaps(self) -> Bitmaps:
        return RedisBitmaps(self.connect())


class TestRedisFeatureStore(OnOneRedis, FeatureStoreContract):
    async def open_features(self, folder: Path, schema: str = "s1") -> FeatureStore:
        return await RedisFeatureStore.open(self.connect(folder), schema)

    def test_another_schema_starts_anew_once_the_old_rows_are_forgotten(self, run, tmp_path, store) -> None:
        run(store.write({"viewer": {"x": b"1"}, "trend": {"7": b"2"}}, {"viewer:0": 3}))
        run(RedisFeatureStore.forget(self.connect(tmp_path), "s1"))  # its own rows stay
        assert run(store.read("viewer", ["x"])) == [b"1"]
        run(RedisFeatureStore.forget(self.connect(tmp_path), "s2"))
        again = run(self.open_features(tmp_path, "s2"))
        assert run(again.scan("viewer")) == run(again.scan("trend")) == []
        assert run(again.marks(["viewer:0"])) == [0]
        with pytest.raises(SchemaMismatch):
            run(self.open_features(tmp_path, "s1"))


class TestBytesOnACluster(OnACluster, TestRedisBytes):
    pass


class TestRankedOnACluster(OnACluster, TestRedisRanked):
    pass


class TestCountersOnACluster(OnACluster, TestRedisCounters):
    pass


class TestBitmapsOnACluster(OnACluster, TestRedisBitmaps):
    pass


class TestFeatureStoreOnACluster(OnACluster, TestRedisFeatureStore):
    def test_a_node_that_lost_its_rows_takes_the_mark_back(self, run, tmp_path, store) -> None:
        run(store.write({"viewer": {f"u{n}": b"row" for n in range(50)}}, {"viewer:0": 9}))
        nodes = self.connect(tmp_path)
        tags = run(nodes.tags())
        assert len(tags) == 3
        run(nodes.delete([f"applied:{{{tags[1]}}}:viewer:0"]))
        assert run(store.marks(["viewer:0"])) == [0]
