"""Reading features: packed rows and the mapped table against Feast's own Redis online store, on one Redis.

A viewer is read as a serving process does it, for AT_ONCE requests that wait together (the ratio that counts), and for
one request alone, where on idle cores most of the time is that of waking two processes up, whatever they then do.
"""

import asyncio
import json
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

# This file would hide the package of its name.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
# Before the libraries start: every way gets one thread.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", FEAST_USAGE="False")

import prometheus_client  # noqa: F401 - before Feast, which would switch it to files of its own

# isort: split
import numpy as np
from feast import FeatureStore

from backends.redis.feature_store import RedisFeatureStore
from benchmarks._features_setup import FEATURES, ROWS, VIDEOS, VIEWERS, Rows, make, open_feast, open_ours
from core.arrays import Array, Float32
from deploy.stack import Stack
from features.feast_fields import ENTITIES
from features.feast_offline import packed_rows
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.packed import record_of, records_of
from features.state import viewer_arrays
from serving.event_loop import run

ROUNDS, BUDGET_S, OURS_EACH, AT_ONCE = 60, 60, 20, 16
AT_LEAST = {"viewers": 20, "mapped": 800, "packed": 60}
COLUMNS = np.array([field.offset // 8 for name in FEATURES for field in ENTITIES["video"].fields if field.name == name])
Run = Callable[[int], Awaitable[object]]


class Ways:
    """Each way to read; the n-th read of every way asks for the same rows."""

    def __init__(self, ours: RedisFeatureStore, feast: FeatureStore, rows: Rows) -> None:
        self._ours, self._feast = ours, feast
        self._services = {name: feast.get_feature_service(name) for name in ("everything", "thirty_five")}
        self._viewers, self._videos = list(rows.viewers), list(rows.videos)
        self._table = rows.mapped.view(np.int64).reshape(len(rows.mapped), -1)
        rng = np.random.default_rng(3)
        self._chosen = [rng.choice(VIDEOS, ROWS, replace=False) for _ in range(16)]
        self._ids = [[self._videos[at] for at in chosen] for chosen in self._chosen]

    def _viewer(self, turn: int) -> str:
        return self._viewers[turn % VIEWERS]

    async def viewer_packed(self, turn: int) -> Array:
        """Everything about a viewer as the kernels take it. [1] VIEWER_DTYPE"""
        [raw] = await self._ours.read("viewer", [self._viewer(turn)])
        record = record_of(raw or b"", VIEWER_DTYPE)
        viewer_arrays(record)
        return record

    async def viewers_packed(self, turn: int) -> list[Array]:
        """Viewers for as many requests as wait together."""
        return await asyncio.gather(*(self.viewer_packed(turn + n) for n in range(AT_ONCE)))

    async def viewers_feast(self, turn: int) -> list[dict[str, list]]:
        """The same by Feast, whose calls do not wait together."""
        return [await self.viewer_feast(turn + n) for n in range(AT_ONCE)]

    async def viewers_feast_async(self, turn: int) -> list[dict[str, list]]:
        """The same by Feast's async method."""
        return await asyncio.gather(*(self.viewer_feast_async(turn + n) for n in range(AT_ONCE)))

    async def viewer_feast(self, turn: int) -> dict[str, list]:
        """The same by Feast, field by field."""
        rows = {"viewer_id": [self._viewer(turn)]}
        return self._feast.get_online_features(self._services["everything"], rows).to_dict()

    async def viewer_feast_async(self, turn: int) -> dict[str, list]:
        """The same by Feast's async method."""
        rows = {"viewer_id": [self._viewer(turn)]}
        return (await self._feast.get_online_features_async(self._services["everything"], rows)).to_dict()

    async def videos_mapped(self, turn: int) -> Float32:
        """The features of the videos from the mapped table. [500, 35] float32"""
        return self._table[self._chosen[turn % 16]][:, COLUMNS].astype(np.float32)

    async def videos_packed(self, turn: int) -> Float32:
        """The same from packed rows: one MGET, each row checked."""
        raw = await self._ours.read("video", self._ids[turn % 16])
        records = records_of([row or b"" for row in raw], COUNTS_DTYPE)
        return records.view(np.int64).reshape(ROWS, -1)[:, COLUMNS].astype(np.float32)

    async def videos_feast(self, turn: int) -> Float32:
        """The same by Feast."""
        rows = {"video_id": self._ids[turn % 16]}
        return matrix_of(self._feast.get_online_features(self._services["thirty_five"], rows).to_dict())

    async def videos_feast_async(self, turn: int) -> Float32:
        """The same by Feast's async method."""
        rows = {"video_id": self._ids[turn % 16]}
        return matrix_of((await self._feast.get_online_features_async(self._services["thirty_five"], rows)).to_dict())


def matrix_of(columns: dict[str, list]) -> Float32:
    """Feast's answer as a matrix. [500, 35] float32"""
    return np.array([columns[name] for name in FEATURES], np.int64).T.astype(np.float32)


async def check(ways: Ways) -> None:
    """Stop unless every way gives the same, to the last bit."""
    for turn in range(16):
        ours = await ways.viewer_packed(turn)
        for theirs in (await ways.viewer_feast(turn), await ways.viewer_feast_async(turn)):
            if packed_rows(theirs, "viewer").tobytes() != ours.tobytes():
                sys.exit(f"Viewer {turn}: Feast's fields are not those of the packed row.")
        expected = await ways.videos_mapped(turn)
        if expected.shape != (ROWS, 35):
            sys.exit(f"{expected.shape} features were read.")
        for way in (ways.videos_packed, ways.videos_feast, ways.videos_feast_async):
            if (await way(turn)).tobytes() != expected.tobytes():
                sys.exit(f"{way.__name__} differs from the mapped table.")


async def interleaved(variants: dict[str, Run]) -> dict[str, list[float]]:
    """Milliseconds of each run, by turns: a slow one of Feast's, then OURS_EACH quick ones of each of ours."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    end = time.perf_counter() + BUDGET_S
    for turn in range(ROUNDS):
        for name, read in variants.items():
            for again in range(1 if "feast" in name else OURS_EACH):
                start = time.perf_counter()
                await read(turn + again)
                times[name].append(1e3 * (time.perf_counter() - start) / (AT_ONCE if "viewers" in name else 1))
        if time.perf_counter() > end:
            break
    return times


async def measure(url: str, folder: Path) -> dict[str, list[float]]:
    """Make, check, time."""
    rows = make(folder)
    feast = open_feast(url, rows, folder)
    nodes, ours = await open_ours(url, rows)
    ways = Ways(ours, feast, rows)
    await check(ways)
    names = ("viewer_packed", "viewer_feast", "viewer_feast_async")
    names += ("viewers_packed", "viewers_feast", "viewers_feast_async")
    names += ("videos_mapped", "videos_packed", "videos_feast", "videos_feast_async")
    times = await interleaved({name: getattr(ways, name) for name in names})
    await feast.close()
    await nodes.close()
    return times


def report(times: dict[str, list[float]]) -> None:
    """The table and the JSON line; ratios are of medians, against the faster of Feast's two methods."""
    packages = " ".join(f"{name} {version(name)}" for name in ("feast", "redis", "hiredis", "numpy"))
    print(f"{VIEWERS} viewers, {VIDEOS:,} videos on one Redis; a viewer is {VIEWER_DTYPE.itemsize:,} bytes, packed")
    print(f"Python {platform.python_version()} {packages} {platform.machine()}")
    print(f"the same values from every way; viewers: {AT_ONCE} requests together, each one's share of the time\n")
    print(f"{'ms':20}{'p50':>9}{'p99':>9}{'runs':>7}")
    for name, runs in times.items():
        print(f"{name:20}{np.median(runs):9.3f}{np.percentile(runs, 99):9.3f}{len(runs):7}")
    p50 = {name: float(np.median(runs)) for name, runs in times.items()}
    feast = {what: min(p50[f"{what}_feast"], p50[f"{what}_feast_async"]) for what in ("viewer", "viewers", "videos")}
    ratios = {
        "viewers": feast["viewers"] / p50["viewers_packed"],
        "mapped": feast["videos"] / p50["videos_mapped"],
        "packed": feast["videos"] / p50["videos_packed"],
    }
    alone = feast["viewer"] / p50["viewer_packed"]
    told = ", ".join(f"{name} {ratio:,.0f}x ({AT_LEAST[name]}x due)" for name, ratio in ratios.items())
    print(f"\nFeast's median over ours: {told}; a viewer alone {alone:,.0f}x")
    line = {"benchmark": "features", "ratio": ratios["viewers"], "alone_ratio": alone}
    line |= {f"{name}_ratio": ratio for name, ratio in ratios.items()}
    line |= {f"{name}_p50_ms": ms for name, ms in p50.items()}
    print(json.dumps({name: round(x, 4) if isinstance(x, float) else x for name, x in line.items()}))
    if short := [name for name, ratio in ratios.items() if ratio < AT_LEAST[name]]:
        sys.exit(f"Below what is due: {', '.join(short)}.")


def main() -> None:
    """On a Redis of its own."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stack = Stack(folder / "stack")
        try:
            url = stack.up(["redis"]).redis
            times = run(measure(url, folder))
        finally:
            stack.remove()
    report(times)


if __name__ == "__main__":
    main()
