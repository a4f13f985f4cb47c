"""What a Redis that is full, read-only, down, locked or somebody else's does to those who use it."""

import asyncio
import time

import numpy as np
import pytest

from backends.redis.bitmaps import RedisBitmaps
from backends.redis.bytes import RedisBytes
from backends.redis.counters import RedisCounters
from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import Nodes, connect
from backends.redis.ranked import RedisRanked
from core.errors import ConfigError, CorruptData, SchemaMismatch, StorageFull, Unavailable
from core.settings import Settings
from deploy.probes import redis_command
from deploy.redis_cluster import RedisCluster
from features.layout import VIEWER_DTYPE
from features.packed import pack_rows, record_of
from tests.contracts.one_loop import OneLoop
from tests.integration import servers

ROW = bytes(10_000)


@pytest.fixture(scope="module")
def stack():
    servers.require("redis")  # skips, or fails, where there is none
    stack = servers.stack_of_its_own("redis-refusals")
    stack.up(["redis"])
    yield stack
    stack.remove()


@pytest.fixture
def port(stack):
    found = stack.node("redis").place().port
    yield found
    if stack.node("redis").pid():
        for words in (
            ("REPLICAOF", "NO", "ONE"),
            ("CONFIG", "SET", "maxmemory", "0"),
            ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            ("FLUSHALL",),
        ):
            redis_command(found, *words)


class TestRefusals(OneLoop):
    nodes: Nodes

    @pytest.fixture
    def connected(self, run, port):
        self.nodes = Nodes(f"redis://127.0.0.1:{port}/0")
        return self.nodes

    @pytest.fixture
    def features(self, run, connected):
        return run(RedisFeatureStore.open(connected, "s1"))

    async def close(self):
        if hasattr(self, "nodes"):
            await self.nodes.close()

    def every_write(self):
        return (
            RedisBytes(self.nodes).set({"a": ROW, "b": ROW}, 60_000),
            RedisRanked(self.nodes).add({"r": {"x": 1.0}}, 5, 60_000),
            RedisCounters(self.nodes).add({"c": 1}, 60_000),
            RedisBitmaps(self.nodes).mark({"m": [3]}, 60_000),
        )

    def test_a_full_redis_takes_no_part_of_a_write_and_still_answers(self, run, port, features):
        run(features.write({"viewer": {"kept": ROW}}, {"viewer:0": 1}))
        redis_command(port, "CONFIG", "SET", "maxmemory", "5mb")
        with pytest.raises(StorageFull, match=r"127.0.0.1:\d+ is full.*maxmemory"):
            for number in range(100):
                rows = {f"u{number}_{n}": ROW for n in range(20)}
                run(features.write({"viewer": rows}, {"viewer:0": number + 2}))
        assert run(features.marks(["viewer:0"])) == [number + 1]
        assert run(features.read("viewer", [f"u{number}_{n}" for n in range(20)])) == [None] * 20
        assert run(features.read("viewer", ["kept"])) == [ROW]
        redis_command(port, "CONFIG", "SET", "maxmemory", "1mb")  # what the refused rows left free is full too
        for write in self.every_write():
            with pytest.raises(StorageFull):
                run(write)
        redis_command(port, "CONFIG", "SET", "maxmemory", "0")
        run(features.write({"viewer": rows}, {"viewer:0": number + 2}))

    def test_a_read_only_redis_says_so_and_still_answers(self, run, port, features):
        run(features.write({"viewer": {"kept": ROW}}, 1))
        redis_command(port, "REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(Unavailable, match="read-only replica; point FORYOU_REDIS at the primary"):
            run(features.write({"viewer": {"kept": b""}}, 2))
        for write in self.every_write():
            with pytest.raises(Unavailable, match="read-only"):
                run(write)
        assert run(features.read("viewer", ["kept"])) == [ROW]

    def test_too_few_replicas(self, run, port, features):
        redis_command(port, "CONFIG", "SET", "min-replicas-to-write", "1")
        with pytest.raises(Unavailable, match="too few replicas"):
            run(features.write({"viewer": {"x": b""}}, 2))
        for write in self.every_write():
            with pytest.raises(Unavailable, match="too few replicas"):
                run(write)

    def test_a_killed_redis_is_noticed_at_once_and_found_again(self, run, stack, features):
        run(features.write({"viewer": {"x": ROW}}, 1))
        time.sleep(1.1)  # the append-only file is written each second
        stack.kill("redis")
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(Unavailable, match=r"Redis at 127.0.0.1:\d+ does not answer"):
                run(features.read("viewer", ["x"]))
        assert time.monotonic() - began < 2
        stack.start("redis")
        assert run(features.read("viewer", ["x"])) == [ROW]

    def test_a_redis_that_hangs_is_given_up(self, run, stack, features):
        run(features.write({"viewer": {"x": ROW}}, 1))
        stack.suspend("redis")
        try:
            began = time.monotonic()
            with pytest.raises(Unavailable, match="does not answer"):
                run(features.read("viewer", ["x"]))
            assert time.monotonic() - began < 10
        finally:
            stack.resume("redis")
        assert run(features.read("viewer", ["x"])) == [ROW]

    def test_a_password_that_is_missing_or_wrong(self, run, port, connected):
        redis_command(port, "CONFIG", "SET", "requirepass", "open")
        right = Nodes(f"redis://:open@127.0.0.1:{port}/0")
        try:
            with pytest.raises(ConfigError, match="asks for a password; put it into FORYOU_REDIS"):
                run(connected.get(["x"]))
            wrong = Nodes(f"redis://:secret77@127.0.0.1:{port}/0")
            with pytest.raises(ConfigError, match="refuses the user or password") as caught:
                run(wrong.get(["x"]))
            assert "secret77" not in str(caught.value)
            assert run(right.get(["x"])) == [None]
        finally:
            run(right.run([("CONFIG", "SET", "requirepass", "")]))
            run(right.close())

    def test_a_redis_that_drops_rows_by_itself_is_refused(self, run, port, connected):
        redis_command(port, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        with pytest.raises(ConfigError, match=r"allkeys-lru.*noeviction"):
            run(RedisFeatureStore.open(connected, "s1"))

    def test_somebody_elses_key(self, run, port, features):
        redis_command(port, "LPUSH", "c", "1")
        redis_command(port, "SET", "applied:{0}:viewer:0", "soon")
        with pytest.raises(CorruptData, match=r"another kind of value.*FORYOU_REDIS_PREFIX"):
            run(RedisCounters(self.nodes).add({"c": 1}, 1_000))
        with pytest.raises(CorruptData, match="no number"):
            run(features.marks(["viewer:0"]))

    def test_a_flipped_bit_in_a_row_and_a_row_of_another_schema(self, run, port, features):
        [good] = pack_rows(np.zeros(1, VIEWER_DTYPE))
        flipped = bytearray(good)
        flipped[100] ^= 1
        older = np.frombuffer(good, VIEWER_DTYPE).copy()
        older["schema"] += 1
        run(features.write({"viewer": {"good": good, "bad": bytes(flipped), "older": older.tobytes()}}, 1))
        found = run(features.read("viewer", ["good", "bad", "older"]))
        assert record_of(found[0], VIEWER_DTYPE)["version"][0] == 0
        with pytest.raises(CorruptData, match="checksum differs"):
            record_of(found[1], VIEWER_DTYPE)
        with pytest.raises(SchemaMismatch, match="written under schema"):
            record_of(found[2], VIEWER_DTYPE)

    def test_a_single_redis_is_no_cluster_and_the_other_way_round(self, run, port, connected):
        with pytest.raises(ConfigError, match="FORYOU_REDIS_CLUSTER=false"):
            run(Nodes(f"redis://127.0.0.1:{port}", cluster=True).get(["x"]))
        one_of_three = Nodes(f"redis://127.0.0.1:{servers.require_redis_cluster()[0]}")
        with pytest.raises(ConfigError, match="FORYOU_REDIS_CLUSTER=true"):
            run(one_of_three.run([("GET", f"{n}") for n in range(50)]))
        run(one_of_three.close())

    def test_a_cluster_that_lost_a_node_and_got_it_back(self, run, tmp_path):
        servers.require("redis")
        cluster = RedisCluster(tmp_path)
        ports = cluster.up()
        self.nodes = Nodes(f"redis://127.0.0.1:{ports[0]}", cluster=True)
        rows = {f"u{n}": ROW for n in range(60)}
        try:
            features = run(RedisFeatureStore.open(self.nodes, "s1"))
            run(features.write({"viewer": rows}, {"viewer:0": 1}))
            cluster.nodes[1].kill()
            began = time.monotonic()
            with pytest.raises(Unavailable):
                run(features.write({"viewer": rows}, {"viewer:0": 2}))
            assert time.monotonic() - began < 6
            cluster.up()
            run(features.write({"viewer": rows}, {"viewer:0": 3}))
            assert run(features.marks(["viewer:0"])) == [3]
        finally:
            cluster.remove()

    def test_a_server_that_never_was(self, run):
        self.nodes = Nodes("redis://127.0.0.1:1/0")
        with pytest.raises(Unavailable, match=r"Redis at 127.0.0.1:1 does not answer"):
            run(RedisFeatureStore.open(self.nodes, "s1"))

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1", "redis://h:port", "redis", "redis://h?nothing=1", "redis://h:1/x"]
    )
    def test_what_is_no_url_is_refused(self, run, url):
        with pytest.raises(ConfigError, match="FORYOU_REDIS"):
            self.nodes = Nodes(url)
            run(self.nodes.get(["x"]))

    def test_a_prefix_that_would_move_keys_is_refused(self):
        with pytest.raises(ConfigError, match="FORYOU_REDIS_PREFIX"):
            connect(Settings(redis_prefix="{a}"))

    def test_one_lost_loop_does_not_hold_the_next(self, connected):
        for _ in range(2):
            nodes = Nodes(f"redis://{connected.name}")

            async def once(nodes=nodes):
                found = await RedisBytes(nodes).get(["x"])
                await nodes.close()
                return found

            assert asyncio.run(once()) == [None]
