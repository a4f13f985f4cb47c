"""One For-You request in process: the product's columns against one object for each candidate (`plain.py`)."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

# Before the libraries start: both ways get one thread.
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np

from benchmarks._feed_setup import CONFIG, NOW_MS, VIDEOS, Setup, draw_query, make
from benchmarks._plain_features import videos_of
from benchmarks.plain import PlainFeed
from candidate_gen.boards import fresh_board, ranked_board
from core.engine import Engine, Ranked
from core.query import Query
from core.video_table import PUBLIC
from feeds.exploration.new_videos import new_videos
from feeds.exploration.plan import is_random
from feeds.sources import FRESH_AGE_MS, PROMISING_SIZE, promise, watched_lately

VIEWERS, ROUNDS, BUDGET_S, TOLERANCE = 16, 200, 100, 1e-6
Times = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Make, check, time, print."""
    setup, rng = make(), np.random.default_rng(7)
    plain, engine = plain_feed(setup), Engine()
    drawn = (draw_query(rng, number) for number in range(2 * VIEWERS))
    queries = [query for query in drawn if not is_random(query, CONFIG)][:VIEWERS]
    for query in queries:
        check(setup, plain, engine.execute(setup.surface, query), query)
    times = interleaved(
        {
            "plain": lambda query: plain.page(query),
            "product": lambda query: engine.execute(setup.surface, query),
        },
        queries,
    )
    report(times, stages(setup, queries))


def plain_feed(setup: Setup) -> PlainFeed:
    """The baseline over the same state, models and boards."""
    table = setup.state.table
    public = table.visibility == PUBLIC
    fresh = fresh_board(table.upload_ms, table.region, NOW_MS, FRESH_AGE_MS, 5_000, public)
    popular = ranked_board(watched_lately(setup.state, NOW_MS), table.region, len(table), public)
    promising = ranked_board(promise(setup.state, NOW_MS, CONFIG), table.region, PROMISING_SIZE, public)
    boards = (fresh, popular, promising)
    new = new_videos(setup.state, CONFIG, NOW_MS).rows.tolist()
    return PlainFeed(videos_of(setup.state), setup.bundle, setup.boosters, boards, new, CONFIG)


def check(setup: Setup, plain: PlainFeed, ranked: Ranked, query: Query) -> None:
    """Stop unless both give the same videos in the same order with the same values, of 1,000 ranked candidates."""
    candidates = next(s.before for s in ranked.trace.stages if s.name == "value")
    page = plain.page(query)
    ours, theirs = ranked.batch.rows.tolist(), [candidate.video.row for candidate in page]
    if candidates != CONFIG.pre_rank_keep or len(ours) != query.limit:
        sys.exit(f"{query.viewer_id}: {candidates} candidates were ranked and {len(ours)} chosen.")
    if ranked.draw is None or ranked.draw.places.tolist() != [19]:
        sys.exit(f"{query.viewer_id}: the twentieth place was not drawn.")
    if ours != theirs:
        sys.exit(f"{query.viewer_id}: the two pages differ: {ours} and {theirs}.")
    for name in ("value", "adjusted", "explored"):
        gap = np.abs(ranked.batch[name] - [getattr(candidate, name) for candidate in page]).max()
        if not gap <= TOLERANCE:
            sys.exit(f"{query.viewer_id}: {name} differs by {gap}.")


def interleaved(variants: dict[str, Callable[[Query], object]], queries: list[Query]) -> Times:
    """(wall, CPU of the thread) in ms of each run, by turns, for at most BUDGET_S seconds."""
    times: Times = {name: [] for name in variants}
    end = time.perf_counter() + BUDGET_S
    for turn in range(ROUNDS):
        for name, run in variants.items():
            wall, cpu = time.perf_counter(), time.thread_time()
            run(queries[turn % len(queries)])
            times[name].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.thread_time() - cpu)))
        if time.perf_counter() > end:
            break
    return times


def stages(setup: Setup, queries: list[Query]) -> dict[str, float]:
    """Median CPU ms of each of the product's stages."""
    engine, spent = Engine(timer=time.thread_time_ns), dict[str, list[float]]()
    for query in queries:
        for stage in engine.execute(setup.surface, query).trace.stages:
            spent.setdefault(stage.name, []).append(stage.spent_ns / 1e6)
    return {name: float(np.median(values)) for name, values in spent.items()}


def report(times: Times, spent: dict[str, float]) -> None:
    """The tables and the JSON line; `ratio` is of the medians on the wall, `cpu_ratio` of the thread's CPU time."""
    packages = " ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "faiss-cpu", "lightgbm"))
    rounds = len(times["product"])
    print(f"{VIDEOS:,} videos, {CONFIG.pre_rank_keep:,} ranked candidates, 10 heads of 150 trees, one thread")
    print(f"Python {platform.python_version()} {packages} {platform.machine()}, {rounds} rounds by turns")
    print(f"the same {VIEWERS} pages from both\n")
    print(f"{'ms':10}{'p50':>9}{'p99':>9}{'CPU p50':>9}")
    figures = {}
    for name, runs in times.items():
        wall, cpu = np.array(runs).T
        figures[name] = (float(np.median(wall)), float(np.percentile(wall, 99)), float(np.median(cpu)))
        print(f"{name:10}" + "".join(f"{ms:9.2f}" for ms in figures[name]))
    slowest = sorted(spent.items(), key=lambda item: -item[1])[:6]
    print("\nslowest stages, CPU ms: " + ", ".join(f"{name} {ms:.2f}" for name, ms in slowest))
    (p50, p99, cpu), (plain_p50, plain_p99, plain_cpu) = figures["product"], figures["plain"]
    line = {"benchmark": "feed", "ratio": plain_p50 / p50, "p50_ms": p50, "p99_ms": p99}
    line |= {"baseline_p50_ms": plain_p50, "baseline_p99_ms": plain_p99, "cpu_ratio": plain_cpu / cpu}
    line |= {"cpu_p50_ms": cpu, "baseline_cpu_p50_ms": plain_cpu}
    print(json.dumps({name: round(x, 2) if isinstance(x, float) else x for name, x in line.items()}))


if __name__ == "__main__":
    main()
