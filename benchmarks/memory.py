"""Peak memory of a stream worker's state: a million viewers and a million videos, within one bound.

The eviction rule: a row enters memory when it is used, and only after it was committed to its partition's state file;
over the bound the least recently used row leaves memory, which costs nothing, since the file has it. One bound,
KeptConfig.hot_bytes, is divided in equal parts among the partitions that the process holds. Beside the rows there are
SQLite's page caches and the micro-batches that wait to be folded into tables (each a fixed size a partition), and the
catalogue, which is held whole (see docs/operations.md).

A process of its own fills state files of both counting stages through the stages' own classes: catalogue entries,
events through the kernels, commits with event ids. Rows that have left memory are read back and compared with what the
kernels give anew. A second process keeps every row in memory, for a tenth; its growth is what a million would take.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from backends.sqlite.database import Database
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.partition_state import SqlitePartitionStates
from core.events import VideoPublished
from core.log import Bounds
from core.video_table import VideoTable
from features.columns import EventColumns
from features.definitions import schema_hash
from features.layout import COUNTS_DTYPE, OP, VIEWER_DTYPE
from features.stream.counter_stage import split_key
from features.stream.counters import apply_counts, fresh_counts
from features.stream.hot_rows import ENTRY_BYTES
from features.stream.kept_state import KeptConfig, KeptState, Places
from features.stream.messages import COUNT_ROW, CountsBatch
from features.stream.past import Past, apply_entry
from features.stream.reading import id_hash
from features.stream.viewers import apply_viewers, present_traits
from features.stream.warm import warm_kernels

VIEWERS, VIDEOS, PARTITIONS, BATCH, EVENTS_EACH = 1_000_000, 1_000_000, 4, 2_000, 2
CACHE_BYTES, WAITING_BYTES = 16 << 20, 16 << 20  # of a partition: SQLite's pages; what waits for its tables
ROOM_BYTES = 96 << 20  # micro-batches on their way
NOW_MS, DIMENSIONS, AUTHORS = 1_790_000_000_000, 32, 50_000
AT = (0.1, 0.3, 1.0)
EVERYTHING = 8 << 30  # more than the first part takes; slots are taken as they are used


class State:
    """The partitions of both stages, and the catalogue, of one process."""

    def __init__(self, folder: Path, hot_bytes: int) -> None:
        features = SqliteFeatureStore(Database(folder / "online.db", durable=False), schema_hash())
        places = Places(
            SqlitePartitionStates(
                folder / "work", cache_bytes=CACHE_BYTES, waiting_bytes=2 * PARTITIONS * WAITING_BYTES
            ),
            features,
        )
        config = KeptConfig(hot_bytes=hot_bytes)
        self.table, self.catalogue_bytes, self._rng = VideoTable(), 0, np.random.default_rng(3)
        self._past, self._embeddings = Past(self.table), self._rng.normal(0, 0.2, (64, DIMENSIONS)).tolist()
        self.viewers, self.counters = (
            [KeptState(places, f"{role}-{n}", f"{role}:{n}", split, dtype, config) for n in range(PARTITIONS)]
            for role, split, dtype in (
                ("viewer", lambda key: ("viewer", key), VIEWER_DTYPE),
                ("counter", split_key, COUNTS_DTYPE),
            )
        )

    async def open(self) -> None:
        """All partitions."""
        for kept in self.viewers + self.counters:
            await kept.open(Bounds(1, 1 << 62))

    async def close(self) -> None:
        """All partitions."""
        for kept in self.viewers + self.counters:
            await kept.close()

    def publish(self, start: int, end: int) -> None:
        """Videos of the catalogue, as its follower takes them."""
        before = now_bytes()
        for number in range(start, end):
            author, embedding = f"author{number % AUTHORS}", tuple(self._embeddings[number % 64])
            event = VideoPublished(
                event_id=f"p{number}", viewer_id=author, time_ms=NOW_MS, video_id=video_id(number), author_id=author,
                length_ms=20_000, upload_ms=NOW_MS, topic=f"t{number % 50}", language="en", region="r0",
                content_embedding=embedding,
            )  # fmt: skip
            self._past.record(apply_entry(self.table, number + 1, NOW_MS, event))
        self.catalogue_bytes += now_bytes() - before

    async def fill(self, role: str, start: int, end: int) -> None:
        """New rows of a role's partitions, in micro-batches."""
        for first in range(start, end, BATCH):
            numbers = np.arange(first, min(first + BATCH, end))
            kept = getattr(self, role)[first // BATCH % PARTITIONS]
            ids, rows = self.made(role, numbers)
            with kept.changing(ids) as (records, places):
                assert not records["version"][places].any(), "a new row was there before"
                records[places] = rows
                hashes = {id_hash(name, f"e{n}"): NOW_MS for name in ids for n in range(EVENTS_EACH)}
                stored, last = kept.pack(ids, records, places), int(rows["version"].max())
                await kept.commit(stored, last, hashes if role == "viewers" else {})

    def made(self, role: str, numbers: np.ndarray) -> tuple[list[str], np.ndarray]:
        """Ids and rows, by the kernels; the same whenever it is asked."""
        return self._viewers(numbers) if role == "viewers" else self._videos(numbers)

    def _viewers(self, numbers: np.ndarray) -> tuple[list[str], np.ndarray]:
        place = np.repeat(np.arange(len(numbers)), EVENTS_EACH)
        seed = np.repeat(numbers, EVENTS_EACH) * EVENTS_EACH + np.arange(len(place)) % EVENTS_EACH
        zeros, video = np.zeros(len(seed), np.int32), (seed * 2_654_435_761 % 1_000).astype(np.int32)
        play = seed * 7_919 % 20_000
        columns = EventColumns(
            offset=seed + 1, time_ms=NOW_MS + seed, op=np.full(len(seed), OP["watch"], np.uint8),
            viewer=place.astype(np.int32), video=video, author=self.table.author[video],
            play_ms=play, length_ms=np.full(len(seed), 20_000), long_view=(play >= 18_000).astype(np.uint8),
            click=(play >= 3_000).astype(np.uint8), position=zeros, surface=zeros,
            propensity=np.ones(len(seed), np.float32), region=zeros, catalogue_offset=seed * 0,
        )  # fmt: skip
        rows = np.zeros(len(numbers), VIEWER_DTYPE)
        apply_viewers(columns, rows, present_traits(self.table, columns), 1)
        return [f"viewer{number * 2_654_435_761 % (1 << 40):010x}" for number in numbers.tolist()], rows

    def _videos(self, numbers: np.ndarray) -> tuple[list[str], np.ndarray]:
        counts = np.zeros(len(numbers), COUNT_ROW)
        counts["offset"], counts["time_ms"] = numbers + 1, NOW_MS + numbers
        counts["video"], counts["author"], counts["trend"] = numbers, -1, -1
        counts["op"], counts["known"], counts["length_ms"] = OP["watch"], 1, 20_000
        counts["play_ms"] = numbers * 7_919 % 20_000
        fresh = fresh_counts([(int(numbers[-1]) + 1, CountsBatch.of(0, 1, 1, counts))], {})
        rows = np.zeros(len(fresh.keys), COUNTS_DTYPE)
        apply_counts(fresh, rows, np.arange(len(rows)), 1)
        return [f"video:{video_id(number)}" for number in numbers.tolist()], rows

    def check(self, role: str, end: int) -> int:
        """Read whole micro-batches drawn at random, compare every bit of what they count; how many came from files."""
        batches, evicted = -(-end // BATCH), 0
        for number in self._rng.choice(batches, min(8, batches), replace=False).tolist():
            numbers = np.arange(number * BATCH, min((number + 1) * BATCH, end))
            kept = getattr(self, role)[number % PARTITIONS]
            ids, due = self.made(role, numbers)
            evicted += sum(key not in kept.hot._slot_of for key in ids)
            records, places = kept.hot.take(ids)
            found = records[places]
            for name in due.dtype.names[2:]:  # all but schema and checksum, which only stored rows have
                assert (found[name] == due[name]).all(), f"{name} of {role} is not what was stored"
        return evicted

    @property
    def used_bytes(self) -> int:
        """What hot rows take."""
        return sum(kept.hot.used_bytes for kept in self.viewers + self.counters)


def video_id(number: int) -> str:
    """Ids in no order."""
    return f"{number * 2_654_435_761 % (1 << 40):010x}"


def now_bytes() -> int:
    """What the process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    """The most that it ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


async def filled(viewers: int, videos: int, hot_bytes: int, at: tuple[float, ...]) -> list[dict[str, float]]:
    """Fill up to each part of the whole, check, and tell the memory then."""
    with tempfile.TemporaryDirectory() as folder:
        state, told, begin = State(Path(folder), hot_bytes), [], time.perf_counter()
        await state.open()
        warm_kernels()
        base, done = now_bytes(), (0, 0)
        for part in at:
            ends = int(viewers * part) // BATCH * BATCH, int(videos * part) // BATCH * BATCH
            state.publish(done[1], ends[1])
            evicted = 0
            for role, start, end in zip(("viewers", "counters"), done, ends, strict=True):
                await state.fill(role, start, end)
                evicted += state.check(role, end)
            done = ends
            files = sum(path.stat().st_size for path in Path(folder, "work").glob("*.db*"))
            told.append({
                "viewers": ends[0], "videos": ends[1], "peak": peak_bytes(), "base": base, "hot": state.used_bytes,
                "catalogue": state.catalogue_bytes, "files": files, "evicted": evicted,
                "seconds": time.perf_counter() - begin,
            })  # fmt: skip
            print(f"{ends[0]:,} viewers: {peak_bytes() >> 20:,} MiB", file=sys.stderr)
        await state.close()
    return told


async def catalogue_alone(videos: int) -> dict[str, float]:
    """What the catalogue takes at its peak, in a process that holds nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        state, base = State(Path(folder), 1), now_bytes()
        state.publish(0, videos)
        return {"bytes": peak_bytes() - base}


def measured(part: object) -> Any:
    """One part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--part", json.dumps(part)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Fill, compare, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--viewers", type=int, default=VIEWERS)
    parser.add_argument("--videos", type=int, default=VIDEOS)
    parser.add_argument("--hot-mib", type=int, default=KeptConfig().hot_bytes >> 20, help="the bound of hot rows")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.viewers, options.videos) < BATCH / AT[0]:
        parser.error(f"take {BATCH / AT[0]:,.0f} viewers and videos at least")
    if options.part:
        told = json.loads(options.part)
        print(json.dumps(asyncio.run(catalogue_alone(told) if isinstance(told, int) else filled(*told))))
        return
    bounded = measured([options.viewers, options.videos, options.hot_mib << 20, AT])
    [whole] = measured([options.viewers, options.videos, EVERYTHING, AT[:1]])
    catalogue = measured(options.videos)["bytes"]
    report(bounded, whole, catalogue, options)


def report(bounded: list[dict[str, float]], whole: dict[str, float], catalogue: float, options: Any) -> None:
    """The table, and one line for programs."""
    mib, last, bound = 1 / (1 << 20), bounded[-1], options.hot_mib << 20
    print(f"{2 * PARTITIONS} partitions of two stages; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"a viewer is {VIEWER_DTYPE.itemsize:,} bytes, a counter {COUNTS_DTYPE.itemsize}; the bound of hot rows is"
          f" {options.hot_mib} MiB, SQLite's caches {2 * PARTITIONS * CACHE_BYTES >> 20} MiB\n")  # fmt: skip
    print(f"{'MiB':>10} viewers {'videos':>10} {'peak RSS':>9} {'hot rows':>9} {'catalogue':>9} {'files':>7}"
          f" {'from files, checked':>20}")  # fmt: skip
    for step in bounded:
        print(f"{step['viewers']:>18,} {step['videos']:>10,} {step['peak'] * mib:>9,.0f} {step['hot'] * mib:>9,.0f}"
              f" {step['catalogue'] * mib:>9,.0f} {step['files'] * mib:>7,.0f} {step['evicted']:>20,}")  # fmt: skip
    # What a byte of hot rows costs, as the process that keeps all of them has it; then for all rows.
    cost = (whole["peak"] - bounded[0]["peak"]) / max(whole["hot"] - bounded[0]["hot"], 1)
    rows = sum(
        last[name] * (dtype.itemsize + ENTRY_BYTES)
        for name, dtype in (("viewers", VIEWER_DTYPE), ("videos", COUNTS_DTYPE))
    )
    all_kept = last["peak"] + (rows - last["hot"]) * cost
    limit = last["base"] + catalogue + bound + 2 * PARTITIONS * (CACHE_BYTES + WAITING_BYTES) + ROOM_BYTES
    print(f"\nevery row in memory: {whole['peak'] * mib:,.0f} MiB at {whole['viewers']:,} viewers, measured;"
          f" {all_kept * mib:,.0f} MiB at {last['viewers']:,}, at {cost:.2f} bytes a byte of rows")  # fmt: skip
    print(f"bound in all: {limit * mib:,.0f} MiB (process {last['base'] * mib:,.0f}, catalogue"
          f" {catalogue * mib:,.0f}, hot rows, caches, waiting steps, {ROOM_BYTES >> 20} for micro-batches);"
          f" it took {last['seconds']:.0f} s")  # fmt: skip
    line = {"benchmark": "memory", "ratio": round(all_kept / last["peak"], 2)}
    line |= {f"rss_mib_{step['viewers']}": round(step["peak"] * mib) for step in bounded}
    line |= {
        "bound_mib": round(limit * mib),
        "all_rows_mib": round(all_kept * mib),
        "hot_mib": round(last["hot"] * mib),
    }
    print(json.dumps(line))
    if last["peak"] > limit or last["hot"] > bound:
        sys.exit("The bound does not hold.")


if __name__ == "__main__":
    main()
