"""The history as files: what clients report, streamed to Parquet in bounded row groups.

| file | one row for each |
|---|---|
| users.parquet, videos.parquet | viewer, video of the history; `public.PublicUser`, `public.PublicVideo` |
| follows.parquet | follow before the history; those made inside are the column `follow` of the log |
| impressions.parquet | reported impression in time order; `public.WideRow` |
| truth.npz, manifest.json | hidden; read by `World.load` alone |
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped, unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from simulation.history import LoggedHistory
from simulation.ids import CREATOR, EVENT, SESSION, VIDEO, VIEWER, name_all
from simulation.law import ACTIONS
from simulation.logging_policy import ARMS
from simulation.public import SURFACE, users_table, videos_table
from simulation.streams import stream
from simulation.world import World

ROW_GROUP_ROWS = 65_536
CATALOGUE_ROWS = 20_000
UNREPORTED_SHARE, TWICE_SHARE, MALFORMED_SHARE, LATE_SHARE = 0.01, 0.002, 0.0005, 0.02
LATEST_MS = 600_000
MALFORMED_KINDS = 5  # no video, negative play time, length 0, unreadable viewer, unreadable video

LOG_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("session_id", pa.string()),
        ("viewer_id", pa.string()),
        ("video_id", pa.string()),
        ("position", pa.int32()),
        ("surface", pa.string()),
        ("source", pa.string()),
        ("propensity", pa.float64()),
        ("time_ms", pa.int64()),
        ("watch_end_ms", pa.int64()),
        ("ingested_ms", pa.int64()),
        ("play_ms", pa.int32()),
        ("length_ms", pa.int32()),
        *((action, pa.bool_()) for action in ACTIONS),
    ]
)


def write_history(
    world: World, folder: Path, impressions: int, progress: Callable[[int, int], None] | None = None
) -> None:
    """Let a world just built live its history and write all of it; `progress(done, impressions)` as it goes.

    `impressions` are shown; 1% of them are never reported and 0.2% are reported twice. Raises ValueError
    where the world has lived already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_follows(world, folder / "follows.parquet")
    history = LoggedHistory(world, impressions)
    rng, done = stream(world.setup.seed, "reporting"), 0
    with pq.ParquetWriter(folder / "impressions.parquet", LOG_SCHEMA) as writer:
        for rows in in_blocks(history.hours(), ROW_GROUP_ROWS):
            writer.write_table(reported(world, rows, done, rng), row_group_size=ROW_GROUP_ROWS)
            done += len(rows)
            if progress is not None:
                progress(done, impressions)
    _write_public(world, folder)
    world.save(folder)


def in_blocks(hours: Iterator[NDArray[np.void]], size: int) -> Iterator[NDArray[np.void]]:
    """The same rows in blocks of `size`, the last one shorter."""
    kept: list[NDArray[np.void]] = []
    count = 0
    for rows in hours:
        kept.append(rows)
        count += len(rows)
        if count < size:
            continue
        whole = np.concatenate(kept)
        cut = count - count % size
        yield from np.split(whole[:cut], range(size, cut, size))
        kept, count = [whole[cut:].copy()], count - cut
    if count:
        yield np.concatenate(kept)


def reported(world: World, shown: NDArray[np.void], first_event: int, rng: np.random.Generator) -> pa.Table:
    """What the platform receives about shown rows: some lost, some late, some twice, some malformed."""
    times = np.where(rng.random(len(shown)) < TWICE_SHARE, 2, 1) * (rng.random(len(shown)) >= UNREPORTED_SHARE)
    picked = np.repeat(np.arange(len(shown)), times)
    rows, count = shown[picked], len(picked)
    again = np.append(False, picked[1:] == picked[:-1])[:count]
    end_ms = rows["time_ms"] + rows["play_ms"]
    late = rng.random(count) < LATE_SHARE
    travel_ms = rng.integers(20, 500, size=count) + again * 1000 + late * rng.integers(LATEST_MS, size=count)
    kind = np.where(rng.random(count) < MALFORMED_SHARE, rng.integers(MALFORMED_KINDS, size=count), -1)
    play_ms = np.where(kind == 1, -rows["play_ms"], rows["play_ms"])
    length_ms = np.where(kind == 2, 0, world.videos.length_ms[rows["video"]])
    viewer = pc.if_else(pa.array(kind == 3), "u?", name_all(VIEWER, rows["viewer"]))
    video = pc.if_else(pa.array(kind == 4), "v-", name_all(VIDEO, rows["video"]))
    video = pc.if_else(pa.array(kind == 0), pa.scalar(None, pa.string()), video)
    columns = [
        name_all(EVENT, first_event + picked),
        name_all(SESSION, rows["session"]),
        viewer,
        video,
        pa.array(rows["position"]),
        pa.repeat(SURFACE, count),
        pa.array(ARMS).take(pa.array(rows["arm"])),
        pa.array(rows["propensity"]),
        pa.array(rows["time_ms"]),
        pa.array(end_ms),
        pa.array(end_ms + travel_ms),
        pa.array(play_ms.astype(np.int32)),
        pa.array(length_ms.astype(np.int32)),
        *(pa.array((rows["actions"] >> bit & 1).astype(bool)) for bit in range(len(ACTIONS))),
    ]
    return pa.Table.from_arrays(columns, schema=LOG_SCHEMA)


def _write_follows(world: World, path: Path) -> None:
    """The graph before the history."""
    edges = world.follows
    pq.write_table(
        pa.table(
            {
                "viewer_id": name_all(VIEWER, edges.viewer),
                "author_id": name_all(CREATOR, edges.author),
                "time_ms": pa.array(edges.time_ms),
            }
        ),
        path,
        row_group_size=ROW_GROUP_ROWS,
    )


def _write_public(world: World, folder: Path) -> None:
    """Users and videos as of the history's end."""
    for name, count in (("users", len(world.viewers)), ("videos", len(world.videos))):
        writer: pq.ParquetWriter | None = None
        for low in range(0, count, CATALOGUE_ROWS):
            rows = np.arange(low, min(low + CATALOGUE_ROWS, count))
            table = users_table(world.viewers, rows) if name == "users" else videos_table(world.videos, rows)
            writer = writer or pq.ParquetWriter(folder / f"{name}.parquet", table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
