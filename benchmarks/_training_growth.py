"""How training grows with the log: each size in a process of its own, in files, under one bound of memory."""

import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from benchmarks._training_log import DAY_MS, DAYS, EACH, START_MS, catalogue
from candidate_gen.steps import corpus_of, examples_of
from candidate_gen.tower_config import TowerConfig
from candidate_gen.trainer import Trainer
from core.room import Room, blocks
from features.batch import BatchDriver
from features.columns import EventColumns
from features.definitions import FEATURES
from features.layout import OP
from features.state import FeatureState
from ranking.bins import SharedBins
from ranking.head_config import HeadConfig
from ranking.heads import train_heads
from training.config import TrainConfig
from training.head_sample import HeadSample
from training.ranking_fit import codes_of
from training.split import split_at

BOUND_BYTES, MILLION, STEPS, ROUNDS = 8 << 30, 1_000_000, 200, 20
MOST_ROWS = 10_000_000


@dataclass
class Parts:
    """Seconds of CPU of each part, and the most memory of the process's own (not of mapped files) so far."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Times what runs inside."""
        began = time.process_time()
        yield
        self.cpu_s[name] = round(time.process_time() - began, 1)
        print(f"  {name}: {self.cpu_s[name]} s, {self.peak_bytes / 2**30:.2f} GiB", file=sys.stderr, flush=True)

    def watch(self) -> None:
        """Look at the memory until the process ends."""

        def look() -> None:
            while True:
                self.peak_bytes = max(self.peak_bytes, own_bytes())
                time.sleep(0.05)

        threading.Thread(target=look, daemon=True).start()


def own_bytes() -> int:
    """Memory that could not be taken back from this process: all but mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("RssAnon")).split()[1])


def growth(sizes: list[float], videos: int, rows: int) -> None:
    """One line for each size, and one of JSON for all."""
    print(f"\n{'million events':>14}{'towers, s':>11}{'heads, s':>10}{'s a million':>13}{'own memory':>12}", flush=True)
    found = []
    for size in sizes:
        words = ["--grow", str(size), "--videos", str(videos), "--rows", str(rows)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.training", *words], stdout=subprocess.PIPE, text=True, check=True
        )
        one = json.loads(done.stdout.splitlines()[-1])
        found.append(one)
        towers = sum(value for name, value in one["cpu_s"].items() if name.startswith("towers"))
        heads = sum(value for name, value in one["cpu_s"].items() if name.startswith("heads"))
        print(
            f"{size:14g}{towers:11.0f}{heads:10.0f}{(towers + heads) / size:13.2f}{one['peak_gib']:8.2f} GiB",
            flush=True,
        )
    print(json.dumps({"benchmark": "training growth", "sizes": found}))


def grown(size: float, videos: int, rows: int) -> dict:
    """All of one size: half of the events are impressions, half are the watches that answer them."""
    # Memory of its own beyond the bound is refused: the run would end here.
    resource.setrlimit(resource.RLIMIT_DATA, (BOUND_BYTES, BOUND_BYTES))
    torch.set_num_threads(1)
    parts = Parts()
    parts.watch()
    with tempfile.TemporaryDirectory() as folder:
        room, table = Room(Path(folder)), catalogue(videos)
        with parts.part("events are made"):
            events, viewers = synthetic_events(int(size * MILLION), videos, room)
        driver = BatchDriver(FeatureState(table), events, viewers, room)
        trained = towers(driver, table, parts)
        learned = heads(driver, rows, room, parts)
    return {
        "million_events": size, "videos": videos, "viewers": len(viewers), "head_rows": learned, "cpu_s": parts.cpu_s,
        "peak_gib": round(parts.peak_bytes / 2**30, 2), "tower_examples": trained,
    }  # fmt: skip


class Rows(dict):
    """Viewers by name, of which only the number is asked."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def __len__(self) -> int:
        return self._size


def synthetic_events(events: int, videos: int, room: Room) -> tuple[EventColumns, dict]:
    """Impressions, each with its watch right after it, in the order of time; `EACH` events of a viewer."""
    rng, viewers = np.random.default_rng(0), max(1, events // EACH)
    dtypes = {
        "offset": np.int64, "time_ms": np.int64, "op": np.uint8, "viewer": np.int32, "video": np.int32,
        "author": np.int32, "play_ms": np.int64, "length_ms": np.int64, "long_view": np.uint8, "click": np.uint8,
        "position": np.int32, "surface": np.int32, "propensity": np.float32, "region": np.int32,
        "catalogue_offset": np.int64,
    }  # fmt: skip
    columns = {name: room.empty(events, dtype) for name, dtype in dtypes.items()}
    for span in blocks(events, 1 << 20):
        count = span.stop - span.start
        watch = np.arange(span.start, span.stop) % 2
        pair = slice(None, None, 2), np.arange(count) // 2
        viewer = rng.integers(0, viewers, count).astype(np.int32)[pair[0]][pair[1]]
        video = (rng.random(count, np.float32) ** 3 * videos).astype(np.int32)[pair[0]][pair[1]]
        play = rng.exponential(15_000, count).astype(np.int64) * watch
        columns["offset"][span] = np.arange(span.start, span.stop) + 1
        columns["time_ms"][span] = START_MS + np.arange(span.start, span.stop) * (DAYS * DAY_MS) // events
        columns["op"][span] = np.where(watch, OP["watch"], OP["impression"])
        columns["viewer"][span], columns["video"][span], columns["author"][span] = viewer, video, video % 1000 + 1
        columns["play_ms"][span], columns["length_ms"][span] = play, 20_000 * watch
        columns["long_view"][span], columns["click"][span] = play > 18_000, play > 3_000
        columns["surface"][span], columns["propensity"][span] = 1 - watch, 1
        columns["region"][span] = -1
    return EventColumns(**columns), Rows(viewers)


def towers(driver: BatchDriver, table, parts: Parts) -> int:
    """Watches to examples, then a bounded number of steps of a pass that would take all of them."""
    from candidate_gen.interactions import Interactions

    with parts.part("towers: watches of each viewer"):
        indptr, *columns = driver.watches()
        profile = np.zeros((len(driver.viewers), 2), np.int32)
        watches = Interactions(indptr, *columns, profile, (1, 1), driver.room)
    config = TowerConfig(epoch_examples=len(watches), holdout_ms=0, epochs=1)
    with parts.part("towers: examples"):
        corpus = corpus_of(watches, table.upload_ms, config)
        examples = examples_of(corpus, config, 0, START_MS + DAYS * DAY_MS)
        trainer = Trainer(corpus, examples, table, config)
    with parts.part(f"towers: {STEPS} steps"):
        trainer.epoch(most=STEPS)
    return len(examples.at)


def heads(driver: BatchDriver, rows: int, room: Room, parts: Parts) -> int:
    """Choose rows, replay the log for their features, bin them, grow some trees of one head."""
    config = TrainConfig(max_head_rows=rows, threads=1)
    times = driver.events.time_ms
    split = split_at(times, config.tower_share, config.valid_share, 0.0)
    sample = HeadSample(split, config)
    with parts.part("heads: replay"):
        found = driver.run(split.heads_from_ms, room, choose=sample)
    watched = ~np.isnan(found.labels["long_view"])
    train = found.select(watched & (found.time_ms < split.valid_from_ms))
    valid = found.select(watched & (found.time_ms >= split.valid_from_ms))
    with parts.part("heads: rows to codes"):
        bins = SharedBins.fit(found.matrix(train[:: max(1, len(train) // 200_000)]))
        codes = [codes_of(found.matrix, index, bins, room) for index in (train, valid)]
    labels = [{"long_view": found.labels["long_view"][index]} for index in (train, valid)]
    weights = None if sample.weights is None else sample.weights[train]
    head = HeadConfig(name="long_view", rounds=ROUNDS, early_stopping_rounds=0)
    with parts.part(f"heads: {ROUNDS} trees of one head"):
        train_heads(
            codes[0], labels[0], codes[1], labels[1], [f.name for f in FEATURES], [head], weights=weights, threads=1
        )
    return len(train)
