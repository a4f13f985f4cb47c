"""Retrieval on the KuaiRand slice: every source, the two-tower index alone and the learned blend beside the bars.

    python -m benchmarks.retrieval --data FOLDER

Everything is tuned on the last three watches of each history and 25 April, by models fitted without them; then the
models are fitted on histories and 25 April and find the unseen long views of 26-30 April, ranked over the whole
catalogue with what was seen removed. The test is read once, at the end.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks._retrieval_slice import Part, Slice, read_slice, test_part, tuning_part
from candidate_gen.blend import CUTS, Blend
from candidate_gen.interactions import LONG_VIEW
from candidate_gen.recall import ndcgs, ranks, recalls
from core.arrays import Array, Int64
from training.config import TrainConfig
from training.progress import silent
from training.retrieval import fit_retrieval
from training.source_scores import VIEWERS, SourceScores, fit_blend, recent_counts, source_ranks

BARS = {
    ("blend", 0): (0.195, 0.212, 0.235),
    ("blend", 1): (0.480, 0.500, 0.540),
    ("blend", 2): (0.800, 0.825, 0.860),
    ("blend", 3): (0.093, 0.103, 0.118),
    ("two_tower", 1): (0.400, 0.425, 0.460),
}
METRICS = ("recall@20", "recall@100", "recall@500", "NDCG@20")
ROUNDS = 400
_DEFAULT = TrainConfig()
CONFIG = TrainConfig(
    towers=_DEFAULT.towers.model_copy(update={"epochs": 3, "holdout_ms": 0}),
    affinity=_DEFAULT.affinity.model_copy(update={"epochs": 1, "epoch_examples": 1_000}),  # ranks, is not measured here
)


def fitted(part: Part, rows: Slice, name: str) -> SourceScores:
    """All models on the part's watches, for as many passes as the configuration says."""
    began = time.process_time()
    fit = fit_retrieval(part.watches, rows.table, part.now_ms, CONFIG, silent, name)
    seconds = time.process_time() - began
    print(f"{name}: {len(part.watches):,} watches fitted in {seconds:.0f} s of one core", flush=True)
    return SourceScores(fit, rows.table, part.watches, part.now_ms)


def figures(rank: Int64, part: Part) -> tuple[Array, ...]:
    """METRICS of each viewer. Each [viewers]"""
    return (*(recalls(rank, part.held, cut) for cut in CUTS), ndcgs(rank, part.held, 20))


def interval(values: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The 95% interval of a mean by resampling viewers."""
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(ROUNDS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def popularity_ranks(part: Part, rows: Slice) -> dict[str, Int64]:
    """The reference points that need no model: long views ever, and watches of late."""
    long_views = part.watches.where((part.watches.signal & LONG_VIEW) > 0)
    ever = np.bincount(long_views.video, minlength=len(rows.table))
    boards = {"popular ever": ever, "popular lately": recent_counts(long_views, len(rows.table), part.now_ms)}
    found: dict[str, Int64] = {}
    for name, counts in boards.items():
        every = np.broadcast_to(counts.astype(np.float32), (len(part.viewers), len(rows.table)))
        found[name] = ranks(every, part.held)
    return found


def show(found: dict[str, tuple[Array, ...]], blend: Blend) -> dict[str, float]:
    """Print the table; the means by name."""
    rng, result = np.random.default_rng(0), dict[str, float]()
    print(f"\n{'source':<16}" + "".join(f"{metric:>12}" for metric in METRICS) + f"{'weight':>9}")
    for name, values in found.items():
        means = [float(value.mean()) for value in values]
        result |= {f"{name} {metric}": mean for metric, mean in zip(METRICS, means, strict=True)}
        print(f"{name:<16}" + "".join(f"{mean:12.4f}" for mean in means) + f"{blend.weights.get(name, 0):9.2f}")
    print(f"\n{'bar':<24}{'ours':>8}{'95% interval':>18}{'must':>7}{'strong':>8}{'goal':>7}")
    for (name, at), bars in BARS.items():
        low, high = interval(found[name][at], rng)
        passed = sum(found[name][at].mean() >= bar for bar in bars)
        reached = ("below must", "must", "strong", "goal")[passed]
        print(
            f"{name + ' ' + METRICS[at]:<24}{found[name][at].mean():8.4f}{f'{low:.4f} - {high:.4f}':>18}"
            f"{bars[0]:7.3f}{bars[1]:8.3f}{bars[2]:7.3f}  {reached}"
        )
    return result


def main() -> None:
    """Tune, fit, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the KuaiRand slice")
    parser.add_argument("--tune-only", action="store_true", help="do not read the test days")
    options = parser.parse_args()
    rows = read_slice(options.data)
    tuning = tuning_part(rows, VIEWERS)
    scores = fitted(tuning, rows, "tuning")
    blend = fit_blend(scores, tuning.held, tuning.viewers)
    print("On the tuning part:")
    show({n: figures(r, tuning) for n, r in source_ranks(scores, blend, tuning.held, tuning.viewers).items()}, blend)
    if options.tune_only:
        return
    test = test_part(rows)
    found = source_ranks(fitted(test, rows, "test"), blend, test.held, test.viewers) | popularity_ranks(test, rows)
    print(f"On 26-30 April, {len(test.viewers):,} viewers:")
    means = show({name: figures(rank, test) for name, rank in found.items()}, blend)
    print(json.dumps({"benchmark": "retrieval", "ratio": means["blend recall@100"] / means["als recall@100"], **means}))


if __name__ == "__main__":
    main()
