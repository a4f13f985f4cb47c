"""What the features benchmark measures on: the same rows in one Redis, packed by us and field by field by Feast."""

import warnings
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import yaml
from feast import FeatureService, FeatureStore

from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import Nodes
from core.arrays import Array
from features import layout as L
from features.definitions import schema_hash
from features.feast_fields import ENTITIES
from features.feast_offline import table_of
from features.feast_repo import definitions
from features.packed import pack_rows, records_of

VIEWERS, VIDEOS, ROWS = 200, 3_000, 500
NOW_MS = 1_704_067_200_000
ACTIONS = ("impressions", "watches", "long_views", "completions", "skips", "clicks", "likes", "shares", "ratio")
# 3 half-lives x 9 actions, the 3 steps that date them, 5 lifetime totals: 35
FEATURES = [
    *(f"counts_{half}_{action}" for half in L.VIDEO_HALF_LIVES for action in ACTIONS),
    *(f"steps_{half}" for half in L.VIDEO_HALF_LIVES),
    *(f"totals_{total}" for total in L.TOTALS),
]
VIEWER_FIELDS = [field.name for field in ENTITIES["viewer"].fields]


@dataclass(frozen=True)
class Rows:
    """Packed rows by id, and the videos' rows as a table mapped from a file."""

    viewers: dict[str, bytes]
    videos: dict[str, bytes]
    mapped: Array


def make(folder: Path, seed: int = 0) -> Rows:
    """Everything from one seed."""
    rng = np.random.default_rng(seed)
    viewers, videos = np.zeros(VIEWERS, L.VIEWER_DTYPE), np.zeros(VIDEOS, L.COUNTS_DTYPE)
    for records, half_lives in ((viewers, L.VIEWER_HALF_LIVES), (videos, L.VIDEO_HALF_LIVES)):
        records["counts"] = rng.integers(0, 1_000 * L.UNIT, records["counts"].shape)
        quanta = np.array([length // L.STEPS for length in half_lives.values()])
        records["steps"] = NOW_MS // quanta
        records["version"] = rng.integers(1, 10**9, len(records))
        records["applied_us"] = NOW_MS * 1_000 - rng.integers(0, 10**9, len(records))
    videos["totals"] = rng.integers(0, 10**6, videos["totals"].shape)
    viewers["history_len"] = L.HISTORY
    viewers["history_video"] = rng.integers(0, VIDEOS, viewers["history_video"].shape)
    viewers["history_signal"] = rng.integers(0, 64, viewers["history_signal"].shape)
    viewers["history_time_ms"] = NOW_MS - rng.integers(0, L.DAY_MS, viewers["history_time_ms"].shape)
    viewers["pair_key"] = rng.integers(0, 9_000, viewers["pair_key"].shape)
    viewers["pair_count"] = rng.integers(0, 50 * L.PAIR_UNIT, viewers["pair_count"].shape)
    viewers["taste"] = rng.normal(size=viewers["taste"].shape)
    packed = {
        name: {f"{name}{n}": row for n, row in enumerate(pack_rows(records))}
        for name, records in (("viewer", viewers), ("video", videos))
    }
    stamped = records_of(list(packed["video"].values()), L.COUNTS_DTYPE)
    stamped.tofile(folder / "videos.table")
    return Rows(packed["viewer"], packed["video"], np.memmap(folder / "videos.table", L.COUNTS_DTYPE, "r"))


async def open_ours(url: str, rows: Rows) -> tuple[Nodes, RedisFeatureStore]:
    """The product's store with the rows in it."""
    nodes = Nodes(url, prefix="ours:")
    store = await RedisFeatureStore.open(nodes, schema_hash())
    await store.write({"viewer": rows.viewers, "video": rows.videos}, 1)
    return nodes, store


def open_feast(url: str, rows: Rows, folder: Path) -> FeatureStore:
    """Feast's own Redis online store under the same generated views, with the same rows in it."""
    config = {
        "project": "foryou",
        "provider": "local",
        "registry": "registry.db",
        "online_store": {"type": "redis", "connection_string": url.removeprefix("redis://").removesuffix("/0")},
        "offline_store": {"type": "backends.feast_offline.SnapshotOfflineStore"},
        "entity_key_serialization_version": 3,
    }
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config))
    store = FeatureStore(repo_path=str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = definitions()
        views = {view.name: view for view in made if view.name in ("viewer", "video") and hasattr(view, "ttl")}
        services = [
            FeatureService(name="everything", features=[views["viewer"]]),
            FeatureService(name="thirty_five", features=[views["video"][FEATURES]]),
        ]
        store.apply([*made, *services])
        for entity, packed in (("viewer", rows.viewers), ("video", rows.videos)):
            frame = table_of(ENTITIES[entity], packed, NOW_MS, NOW_MS).to_pandas()
            store.write_to_online_store(entity, frame)
    store.config.registry.cache_ttl_seconds = int(timedelta(days=1).total_seconds())
    return store
