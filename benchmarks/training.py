"""Training: examples a second of the towers' steps and of the heads' rows beside a plain DataLoader, and the growth
with the log's size.

Both ways are fed the same examples and negatives by turns, and must give the same loss and the same codes."""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

# Before the libraries start: one thread, so that seconds of CPU mean the same everywhere.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks._training_log import catalogue, head_rows, synthetic_watches
from benchmarks._training_plain import HeadRows, TowerExamples, plain_loss
from candidate_gen.als import AlsConfig, AlsFactors
from candidate_gen.interactions import Interactions
from candidate_gen.item_to_item import ItemToItemConfig, neighbours_of
from candidate_gen.steps import StepMaker, corpus_of, examples_of
from candidate_gen.tower_config import TowerConfig
from candidate_gen.train_towers import train_towers
from candidate_gen.trainer import Trainer
from candidate_gen.two_towers import tensors
from core.video_table import VideoTable
from features.layout import VIEWER_DTYPE
from feeds.tower_pair import tower_profile
from ranking.bins import SharedBins
from training.cross import CrossFeatures
from training.ranking_fit import codes_of, ranker_matrix
from training.retrieval import Retrieval

EVENTS, VIDEOS, STEPS, ROUNDS, HEAD_ROWS = 300_000, 10_000, 6, 5, 4_096
# Hidden ids are drawn by row here and by place there; without them both losses are one number.
CONFIG = TowerConfig(id_dropout=0.0, holdout_ms=0)
DUE = 5.0


@dataclass(frozen=True)
class Towers:
    """The two ways over one log: each a function of examples that takes one step and gives its loss."""

    ours: Callable[[np.ndarray], float]
    plain: Callable[[np.ndarray], float]
    by_time: Callable[[np.ndarray], float]
    our_batch: Callable[[np.ndarray], object]
    plain_batch: Callable[[np.ndarray], object]


def main() -> None:
    """Check, time, print."""
    options = arguments()
    if options.grow:
        from benchmarks._training_growth import grown

        print(json.dumps(grown(options.grow, options.videos, options.rows)))
        return
    torch.set_num_threads(1)
    towers, heads = timed_towers(), timed_heads()
    report(towers, heads)
    if options.sizes:
        from benchmarks._training_growth import growth

        growth(options.sizes, options.videos, options.rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=float, nargs="*", default=[1, 10], help="events of the growth, millions")
    parser.add_argument("--videos", type=int, default=50_000, help="videos of the growth's catalogue")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows that the growth's heads learn from, at most")
    parser.add_argument("--grow", type=float, help=argparse.SUPPRESS)
    return parser.parse_args()


def two_ways() -> Towers:
    """One log, two models that start alike."""
    watches, table = synthetic_watches(EVENTS, VIDEOS, seed=0), catalogue(VIDEOS)
    corpus = corpus_of(watches, table.upload_ms, CONFIG)
    examples = examples_of(corpus, CONFIG, 0, int(watches.time_ms.max()) + 1)
    mine, theirs, others = (Trainer(corpus, examples, table, CONFIG) for _ in range(3))
    makers = [StepMaker(corpus, examples, CONFIG, np.random.default_rng(1)) for _ in range(4)]
    dataset = TowerExamples(corpus, examples, CONFIG.history)

    def ours(batch: np.ndarray) -> float:
        return stepped(mine, mine.model.loss(tensors(makers[0].make(batch))))

    def plain(batch: np.ndarray, by_time: bool = False) -> float:
        trainer, maker = (others, makers[3]) if by_time else (theirs, makers[1])
        loaded = loaded_batch(batch)
        drawn, expected = maker.drawn(), maker.expected(len(batch))
        weight = torch.from_numpy(np.maximum(examples.weight[batch], 1)).float()
        return stepped(trainer, plain_loss(trainer.model, corpus, loaded, drawn, expected, weight, by_time))

    def loaded_batch(batch: np.ndarray) -> dict:
        return next(iter(DataLoader(dataset, batch_size=len(batch), sampler=batch.tolist())))

    return Towers(ours, plain, partial(plain, by_time=True), lambda batch: tensors(makers[2].make(batch)), loaded_batch)


def stepped(trainer: Trainer, loss: torch.Tensor) -> float:
    """One step of the trainer's optimizer."""
    optimizer = trainer.optimizer
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.item()


def timed_towers() -> dict[str, float]:
    """Examples a second of CPU of whole steps and of making batches alone, by turns; the losses must agree."""
    ways = two_ways()
    rng = np.random.default_rng(2)
    spent: dict[str, list[float]] = {"ours": [], "plain": [], "by time": [], "our batches": [], "plain batches": []}
    functions = dict(zip(spent, (ways.ours, ways.plain, ways.by_time, ways.our_batch, ways.plain_batch), strict=True))
    for turn in range(ROUNDS * STEPS + 1):
        batch = rng.permutation(EVENTS // 2)[: CONFIG.batch]
        losses = []
        for name, function in functions.items():
            began = time.process_time()
            losses.append(function(batch))
            if turn:  # the first compiles
                spent[name].append(time.process_time() - began)
        assert np.ptp(losses[:3]) < 1e-3, f"the losses differ: {losses[:3]}"
    return {name: CONFIG.batch / float(np.median(seconds)) for name, seconds in spent.items()}


def timed_heads() -> dict[str, float]:
    """Rows a second of CPU from a replay's rows to the codes that trees are grown on, the towers' scores and what the
    history says of the video among them; both ways give the same codes."""
    watches, table = synthetic_watches(EVENTS, VIDEOS, seed=0), catalogue(VIDEOS)
    records = np.zeros(watches.viewers, VIEWER_DTYPE)
    profile = np.stack([tower_profile(one["profile"], one["traits"]) for one in records])
    watches = replace(watches, profile=profile, profile_sizes=(1,) * profile.shape[1])
    rows = head_rows(watches, HEAD_ROWS)
    now_ms = int(watches.time_ms.max())
    cross = CrossFeatures(retrieval_of(watches, table, now_ms), table, now_ms)
    matrix = partial(ranker_matrix, rows, cross=cross, records=records)
    index, label = np.arange(HEAD_ROWS), rows.labels["long_view"]
    bins = SharedBins.fit(matrix(index[::4]))

    def plain() -> np.ndarray:
        loader = DataLoader(HeadRows(matrix, label), batch_size=CONFIG.batch)
        return np.concatenate([bins.codes(batch.numpy()) for batch, _ in loader])

    ways = {"ours": lambda: codes_of(matrix, index, bins), "plain": plain}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS):
        codes = []
        for name, way in ways.items():
            began = time.process_time()
            codes.append(way())
            if turn:
                spent[name].append(time.process_time() - began)
        # A product of many rows is rounded in another order than that of one: a value at a bound may change sides.
        assert np.mean(codes[0] != codes[1]) < 1e-3, "the codes differ"
    return {name: HEAD_ROWS / float(np.median(seconds)) for name, seconds in spent.items()}


def retrieval_of(watches: Interactions, table: VideoTable, now_ms: int) -> Retrieval:
    """A fit of one short pass."""
    words = tuple(() for _ in watches.profile_sizes)
    towers = train_towers(
        watches, table, CONFIG.model_copy(update={"epochs": 1, "epoch_examples": 4096}), 0, now_ms, words
    ).arrays
    near = neighbours_of(watches, len(table), ItemToItemConfig())
    return Retrieval(towers, towers, near, AlsFactors(np.zeros((0, 1)), np.zeros((1, 1)), AlsConfig()), near, ())


def report(towers: dict[str, float], heads: dict[str, float]) -> None:
    """The table and the one JSON line; `ratio` is of whole steps of the towers."""
    packages = " ".join(f"{name} {version(name)}" for name in ("torch", "numba", "numpy"))
    print(f"Python {platform.python_version()} {packages} {platform.machine()}, 1 thread, batches of {CONFIG.batch}\n")
    rows = {
        "towers, whole steps": (towers["ours"], towers["plain"]),
        "towers, its times grouped": (towers["ours"], towers["by time"]),
        "towers, batches alone": (towers["our batches"], towers["plain batches"]),
        "heads, rows to codes": (heads["ours"], heads["plain"]),
    }
    print(f"{'examples a second of CPU':26}{'foryou':>12}{'DataLoader':>12}{'ratio':>8}")
    for name, (ours, plain) in rows.items():
        print(f"{name:26}{ours:12,.0f}{plain:12,.0f}{ours / plain:8.1f}")
    ratios = [round(ours / plain, 1) for ours, plain in rows.values()]
    names = ("ratio", "ratio_by_time", "ratio_batches", "ratio_heads")
    rates = {name: [round(rate) for rate in pair] for name, pair in rows.items()}
    print(json.dumps({"benchmark": "training"} | dict(zip(names, ratios, strict=True)) | {"due": DUE} | rates))


if __name__ == "__main__":
    main()
