"""Scoring one request's candidates: the compiled forest against LightGBM's own predict."""

import json
import platform
import time
from importlib.metadata import version

import lightgbm as lgb
import numpy as np

from ranking.bins import SharedBins
from ranking.head_config import HeadConfig
from ranking.heads import TrainedHeads, train_heads

FEATURES, HEADS, TREES, LEAVES = 100, 6, 200, 31
CANDIDATES = (500, 1000)
ROUNDS = 21


def main() -> None:
    """Train, check, time, print."""
    rng = np.random.default_rng(0)
    bins, trained = train(rng)
    forest = trained.forest()
    boosters = [lgb.Booster(model_str=head.model) for head in trained.heads.values()]
    timed = {}
    for candidates in CANDIDATES:
        values = sample(rng, candidates)
        codes = bins.codes(values)
        floats = codes.astype(np.float32)

        def predict(threads, floats=floats):
            return [b.predict(floats, raw_score=True, num_threads=threads) for b in boosters]

        same = np.array_equal(forest.scores(codes), np.column_stack(predict(1)))
        assert same, "the forest differs from LightGBM"
        timed[candidates] = interleaved(
            {
                "LightGBM, 1 thread": lambda predict=predict: predict(1),
                "LightGBM, all threads": lambda predict=predict: predict(0),
                "forest, 1 thread": lambda codes=codes: forest.scores(codes),
                "bins and forest, 1 thread": lambda v=values: forest.scores(bins.codes(v)),
            }
        )
    report(forest.trees, timed)


def sample(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Feature values [rows, FEATURES] float32: normal, heavy-tailed, few-valued; 2% NaN."""
    values = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    values[:, 1::4] = np.exp(2 * values[:, 1::4])
    values[:, 2::4] = np.round(3 * values[:, 2::4])
    values[rng.random(values.shape) < 0.02] = np.nan
    return values


def train(rng: np.random.Generator) -> tuple[SharedBins, TrainedHeads]:
    """Six binary heads of full size; every tree is kept."""
    values = sample(rng, 20_000)
    logits = np.nan_to_num(np.tanh(values)) @ rng.normal(0, 0.5, (FEATURES, HEADS))
    happened = rng.random(logits.shape) < 1 / (1 + np.exp(-logits))
    labels = {f"head{h}": happened[:, h].astype(np.float32) for h in range(HEADS)}
    bins = SharedBins.fit(values)
    codes = bins.codes(values)
    configs = [HeadConfig(name=name, leaves=LEAVES, rounds=TREES, early_stopping_rounds=0) for name in labels]
    names = [f"feature{f}" for f in range(FEATURES)]
    head = {name: label[:100] for name, label in labels.items()}
    return bins, train_heads(codes, labels, codes[:100], head, names, configs, threads=1)


def interleaved(variants: dict) -> dict[str, tuple[float, float]]:
    """Median µs of each variant, of the calling thread's CPU and of the wall; run by turns.

    CPU time compares single threads fairly on a busy machine, where only long runs are interrupted.
    """
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, run in variants.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            run()
            runs[name].append((1e6 * (time.thread_time() - cpu), 1e6 * (time.perf_counter() - wall)))
    return {name: tuple(map(float, np.median(times, axis=0))) for name, times in runs.items()}


def report(trees: int, timed: dict[int, dict[str, tuple[float, float]]]) -> None:
    """The table and the one JSON line; `ratio` is of one thread's CPU time each, at the last size."""
    packages = " ".join(f"{name} {version(name)}" for name in ("lightgbm", "numba", "numpy"))
    print(f"{HEADS} heads, {trees} trees of {LEAVES} leaves, {FEATURES} features")
    print(f"Python {platform.python_version()} {packages} {platform.machine()}\n")
    columns = [f"{rows} rows {clock}" for rows in timed for clock in ("CPU", "wall")]
    print(f"{'median µs':28}" + "".join(f"{column:>16}" for column in columns))
    for name in next(iter(timed.values())):
        print(f"{name:28}" + "".join(f"{us:16,.0f}" for times in timed.values() for us in times[name]))
    last, rows = timed[CANDIDATES[-1]], {"rows": CANDIDATES[-1]}
    cpu = {name: round(times[0]) for name, times in last.items() if "all" not in name}
    wall = {name: round(times[1]) for name, times in last.items()}
    ratio = cpu["LightGBM, 1 thread"] / cpu["forest, 1 thread"]
    whole = cpu["LightGBM, 1 thread"] / cpu["bins and forest, 1 thread"]
    ratios = {"ratio": round(ratio, 1), "ratio_with_bins": round(whole, 1)}
    print(json.dumps({"benchmark": "forest"} | ratios | rows | {"cpu_us": cpu, "wall_us": wall}))


if __name__ == "__main__":
    main()
