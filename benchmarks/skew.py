"""Skew at size: the product serves 5,000 slates of 20 and applies what their viewers do, and every logged row is then
computed again from the log, to the last bit, and by Feast's point-in-time join, within one float32 ulp."""

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from candidate_gen.tower_config import TowerConfig
from core.events import Follow, Impression, Like, NotInterested, Watch
from core.settings import Settings
from features.layout import DAY_MS
from features.skew.report import SkewReport
from foryou.bootstrap import Product, open_product
from foryou.catch_up import catch_up
from foryou.commands.skew import check_home, show_report
from foryou.console import Steps
from foryou.importers.report import ImportStores
from foryou.importers.world import import_world
from foryou.stores import open_stores
from simulation.law import EPOCH_MS
from simulation.log_files import write_history
from simulation.world import World
from training.config import TrainConfig
from training.log_data import load_log
from training.pipeline import train

VIEWERS, VIDEOS, IMPRESSIONS, DAYS, PAGE = 1_000, 4_000, 40_000, 7, 20


class Clock:
    """Moves by hand."""

    now_ms = EPOCH_MS + DAYS * DAY_MS + 3_600_000

    def __call__(self) -> int:
        return self.now_ms


def main() -> None:
    """Make a home, serve, check, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slates", type=int, default=5_000)
    parser.add_argument("--home", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = given.home or Path(folder)
        settings = Settings(home=home, full_slate_share=0.0, request_deadline_ms=30_000)
        clock = Clock()
        if not (home / "log.db").exists():
            asyncio.run(make(home, clock))
        began = time.perf_counter()
        asyncio.run(serve(settings, clock, given.slates))
        served_s = time.perf_counter() - began
        with Steps() as steps:
            found = asyncio.run(check_home(settings, given.slates, True, steps))
    report(found, served_s)


async def make(home: Path, clock: Clock) -> None:
    """A small trained home, state written as `foryou train` writes it."""
    world = World.build(0, VIEWERS, VIDEOS, days=DAYS)
    write_history(world, home / "world", IMPRESSIONS)
    stores = open_stores(home, durable=False)
    config = TrainConfig(threads=2, rounds=20, refit_towers=False, towers=TowerConfig(epochs=1))
    try:
        await import_world(home / "world", ImportStores(stores.log, stores.tables, home, clock))
        await catch_up(stores)
        data = await load_log(stores.log, stores.videos, stores.tables)
        train(data, config, home, clock())
        await stores.features.write(data.driver.packed(clock() * 1000), data.applied_offset)
    finally:
        stores.close()


async def serve(settings: Settings, clock: Clock, slates: int) -> None:
    """Pages for viewers by turns, each with the events of its first videos, reported some time after they happened."""
    rng = np.random.default_rng(1)
    product = await open_product(settings, clock, stores=open_stores(settings.home, durable=False))
    viewers = [user.user_id for user in await product.stores.tables.all_users()][:400]
    for number in range(slates):
        viewer = viewers[int(rng.integers(len(viewers)))]
        page = await product.page(viewer, page=None, limit=PAGE, cursor=None, device="")
        if not page.videos:
            sys.exit(f"An empty page for {viewer}: {page.degraded}.")
        await report_page(product, viewer, page, rng, clock, number)
        clock.now_ms += int(rng.integers(500, 20_000))
    await product.settled()
    product.stores.close()


async def report_page(product: Product, viewer: str, page, rng: np.random.Generator, clock: Clock, n: int) -> None:
    """Impressions, watches and some reactions of the first videos of a page."""
    events, at_ms = [], clock()
    for place, video in enumerate(page.videos[: int(rng.integers(2, 9))]):
        at_ms += int(rng.integers(1_000, 30_000))
        length_ms = int(video.duration_sec * 1000)
        common = {"viewer_id": viewer, "video_id": video.video_id, "slate_id": page.slate_id}
        play_ms = int(min(rng.exponential(0.7), 4.0) * length_ms)
        events.append(Impression(event_id=f"i{n}-{place}", time_ms=at_ms, **common))
        watched = {"play_ms": play_ms, "length_ms": length_ms, **common}
        events.append(Watch(event_id=f"w{n}-{place}", time_ms=at_ms + 5, **watched))
        for kind, share in ((Like, 0.15), (NotInterested, 0.03)):
            if rng.random() < share:
                events.append(kind(event_id=f"{kind.__name__}{n}-{place}", time_ms=at_ms + 6, **common))
        if rng.random() < 0.05:
            author = {"author_id": video.user.user_id, **common}
            events.append(Follow(event_id=f"f{n}-{place}", time_ms=at_ms + 7, **author))
    clock.now_ms = at_ms + int(rng.integers(10, 60_000))
    verdicts = await product.intake.accept(viewer, events)
    if refused := [verdict.reason for verdict in verdicts if verdict.status != "accepted"]:
        sys.exit(f"Refused: {refused[0]}")


def report(found: SkewReport, served_s: float) -> None:
    """The tables and the JSON line."""
    join = found.join
    packages = " ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "feast", "pyarrow"))
    print(f"Python {platform.python_version()} {packages} {platform.machine()}; serving and applying {served_s:.1f} s")
    show_report(found)
    line = {
        "benchmark": "skew", "ratio": found.rows / (found.rows + sum(d.rows for d in found.differences)),
        "rows": found.rows, "slates": found.slates, "states": found.states, "differences": len(found.differences),
        "missing_states": found.missing_states, "max_ulp": join.max_ulp, "wrong_states": join.wrong_states,
        "recompute_s": found.seconds, "join_s": join.seconds,
    }  # fmt: skip
    print(json.dumps(line))
    if not found.clean:
        sys.exit(1)


if __name__ == "__main__":
    main()
