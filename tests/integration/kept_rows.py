"""Feature rows wherever a cluster keeps them: its workers' files, its Redis, a backfill's Redis and snapshots."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq

from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import connect
from backends.sqlite.database import Database
from backends.sqlite.partition_state import SqlitePartitionState
from features.definitions import schema_hash
from features.feast_fields import ENTITIES
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.packed import record_of, unstamped
from features.stream.counter_stage import split_key
from tests.integration.running_cluster import RunningCluster


def standing(rows):
    """(unstamped row, version) of every row by (entity, id)."""
    found = {}
    for (entity, key), raw in rows.items():
        record = record_of(raw, VIEWER_DTYPE if entity == "viewer" else COUNTS_DTYPE)
        found[entity, key] = (unstamped(raw), int(record["version"][0]))
    return found


def differing(one, other):
    """The keys of what is not the same in both."""
    return [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]


def stored_in_files(lived, folder):
    """Every row of the workers' own state files, by (entity, id)."""
    rows = {}
    for path in sorted((lived.cluster.home / "work").glob("*-*.db")):
        copy = folder / path.name
        source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        source.execute("VACUUM INTO ?", (str(copy),))
        source.close()
        state, viewers = SqlitePartitionState(Database(copy, durable=False)), path.name.startswith("viewer-")
        for _, key, raw in state.rows_since(-1, 0, 1_000_000):
            rows[("viewer", key) if viewers else split_key(key)] = raw
        state.close()
    return rows


async def online_rows(settings):
    """Every row of the online store under the settings' prefix, by (entity, id)."""
    nodes = connect(settings)
    try:
        store = await RedisFeatureStore.open(nodes, schema_hash())
        return {(entity, key): raw for entity in ENTITIES for key, raw in await store.scan(entity)}
    finally:
        await nodes.close()


def backfilled(lived, home, *options):
    """A backfill of today by the command, into a home and a Redis of its own; (what it counted, its settings)."""
    other = RunningCluster(home, lived.cluster.addresses, lived.cluster.prefix)
    other.settings = lambda: lived.cluster.settings() | {"redis_prefix": f"{lived.cluster.prefix}:{home.name}:"}
    (home / "blobs").symlink_to(lived.cluster.home / "blobs")
    today = datetime.now(UTC).date()
    days = ("--from", str(today - timedelta(1)), "--to", str(today + timedelta(1)))
    counted = json.loads(other.run("features", "backfill", *days, "--write-online", "--json", *options))
    return counted, lived.cluster.configured(home=home, redis_prefix=other.settings()["redis_prefix"])


def snapshots(home):
    """Every snapshot's rows without when they were written."""
    return {
        path.relative_to(home).as_posix(): pq.read_table(path, partitioning=None).drop_columns(["created"])
        for path in sorted((home / "feast" / "offline").rglob("*.parquet"))
    }
