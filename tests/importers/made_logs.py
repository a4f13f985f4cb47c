"""Small worlds and logs on disk, and the embedded stores to import them into."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.tables import SqliteTables
from core.events import AnyEvent
from foryou.importers import ImportStores

START_MS = 1_700_000_000_000
NOW_MS = 1_800_000_000_000  # some years after every made log
ACTIONS = ("like", "comment", "share", "save", "follow", "not_interested", "hide_author", "report")


def open_stores(home: Path) -> ImportStores:
    """Embedded stores in the folder, at a fixed time after every made log."""
    return ImportStores(
        SqliteEventLog(Database(home / "log.db", durable=True)),
        SqliteTables(Database(home / "state.db", durable=False)),
        home,
        lambda: NOW_MS,
    )


def events_in(stores: ImportStores) -> list[AnyEvent]:
    """Every event on the log, in order."""
    return [record.event for record in asyncio.run(stores.log.read(0, 10_000_000))]


def impressions(count: int, seed: int = 7) -> dict[str, Any]:
    """Columns of good impressions, in order of time."""
    random = np.random.default_rng(seed)
    times = START_MS + np.arange(count) * 1_000
    length = random.integers(5_000, 60_000, count)
    play = (length * random.uniform(0, 2, count)).astype(np.int64)
    columns: dict[str, Any] = {
        "event_id": [f"e{number}" for number in range(count)],
        "session_id": [f"s{number // 10}" for number in range(count)],
        "viewer_id": [f"u{number}" for number in random.integers(0, 50, count)],
        "video_id": [f"v{number}" for number in random.integers(0, 40, count)],
        "position": np.arange(count) % 20,
        "surface": ["for_you"] * count,
        "source": ["popular"] * count,
        "propensity": random.uniform(0.01, 1, count),
        "time_ms": times,
        "watch_end_ms": times + play,
        "ingested_ms": times + play + random.integers(0, 600_000, count),
        "play_ms": play,
        "length_ms": length,
    }
    columns.update({name: random.random(count) < 0.1 for name in ACTIONS})
    return columns


def write_world(folder: Path, log: dict[str, Any]) -> Path:
    """A world of 50 users, 40 videos by 5 authors, and this log."""
    folder.mkdir(parents=True, exist_ok=True)
    users = [f"u{number}" for number in range(50)]
    videos = [f"v{number}" for number in range(40)]
    vectors = np.random.default_rng(1).normal(size=(40, 32)).astype(np.float32)
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 32)
    tables = {
        "users": {
            "viewer_id": users, "region": ["r1"] * 50, "language": ["l1"] * 50, "languages": [["l1", "l2"]] * 50,
            "device": ["phone"] * 50, "age_band": ["18-24"] * 50, "signup_ms": [START_MS] * 50,
            "chosen_topics": [["t1"], []] * 25,
        },
        "videos": {
            "video_id": videos, "author_id": [f"a{n % 5}" for n in range(40)], "topic": ["t1"] * 40,
            "length_ms": [10_000] * 40, "thumbnail_cluster": list(range(40)), "language": ["l1"] * 40,
            "region": ["r1"] * 40, "upload_ms": [START_MS - 1_000] * 40, "content_embedding": flat,
        },
        "follows": {"viewer_id": ["u1", "u2"], "author_id": ["a1", "a2"], "time_ms": [START_MS, START_MS + 1]},
        "impressions": log,
    }  # fmt: skip
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def repeat_rows(log: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """The log with these rows once more at its end."""
    return {name: [*column, *(column[row] for row in rows)] for name, column in log.items()}
