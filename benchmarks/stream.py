"""From Kafka to the online store: events a second of one core beside Feast's own push, and when an event is readable.

Product: a worker's viewers and counters, with its files, its second topic and Redis.
Baseline: the same events of the same topic, counted by the same kernels, and the changed rows through Feast's own push
into Feast's own Redis store, in micro-batches as large as the product's when it catches up (the ratio that counts), and
as small as rows of 100 ms ago need. It need not find duplicates, survive a kill, or have several processes. Both are
given by their processor seconds, each in a process of its own, in turns, and from a process at work, with its rows in
memory: Feast's after a first push, the product's after FIRST events. It stands still while the round's events are
appended, so that it finds them all at once; nothing of them is fetched before its seconds are counted. A line of its
own counts all of the process: joining the groups, opening the files, those first events and the cold reads. Every row
that the product left is compared with a plain count before a figure is printed.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE

import numpy as np

from benchmarks._stream_check import check
from benchmarks._stream_setup import (
    VIDEOS,
    VIEWERS,
    Parts,
    events_of,
    offsets,
    prepare,
    servers,
    settings_of,
    until_applied,
    until_counted,
)
from core.settings import Settings
from core.topics import COUNTS, USER_INTERACTION
from features.layout import VIEWER_DTYPE
from features.packed import record_of
from features.stream.loop import StageConfig
from features.stream.sink import StreamSink
from features.stream.warm import warm_kernels
from serving.event_loop import run

ROUNDS, FIRST, EVENTS, PUSHED, AT_LEAST = 3, 20_000, 60_000, 8_000, 20
BATCH = StageConfig().batch
READY = "ready"
RATE, SECONDS, WARM_S, SAMPLE_EVERY_S, P99_MS = 1_000, 30, 5, 0.05, 250


def main() -> None:
    """Throughput of both, interleaved; then the latency at a steady rate."""
    options = _options()
    if options.part:
        settings = Settings(**json.loads(options.settings))
        print(json.dumps(run(PARTS[options.part](settings, options.number))))
        return
    with servers() as addresses, tempfile.TemporaryDirectory() as folder:
        settings = settings_of(addresses, Path(folder) / "home")
        asyncio.run(prepare(settings))
        product, pushed, small = [], [], []
        for number in range(options.rounds + 1):  # the first one, which compiles, is not counted
            product.append(_run_product(settings, options.events, number * (FIRST + options.events)))
            pushed.append(_run("feast", settings, number))
            small.append(_run("small", settings, number))
        rows = _run("check", settings)["rows"]
        latencies = asyncio.run(_latency(settings, options.seconds))
        _run("check", settings)
    report(product[1:], pushed[1:], small[1:], np.array(latencies), rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--events", type=int, default=EVENTS, help="events of a round")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="how long latencies are measured")
    for name, default in (("--part", ""), ("--settings", "{}")):
        parser.add_argument(name, default=default, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


async def _append(settings: Settings, count: int, start: int) -> None:
    parts = await Parts.open(settings)
    events = events_of(count, start, seed=start)
    for at in range(0, count, 5_000):
        await StreamSink(parts.log).append(events[at : at + 5_000])
    await parts.close()


def _command(part: str, settings: Settings, number: int = 0) -> list[str]:
    told = json.dumps(settings.model_dump(mode="json"))
    return [sys.executable, "-m", "benchmarks.stream", "--part", part, "--settings", told, "--number", str(number)]


def _run(part: str, settings: Settings, number: int = 0) -> dict[str, float]:
    """One part in a process of its own; what it measured."""
    done = subprocess.run(_command(part, settings, number), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4_000:]
    print(part, number, done.stdout.splitlines()[-1], file=sys.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _run_product(settings: Settings, events: int, start: int) -> dict[str, float]:
    """The same for the product, which finds FIRST events, and `events` more once it has counted those."""
    asyncio.run(_append(settings, FIRST, start))
    with subprocess.Popen(_command("product", settings), stdin=PIPE, stdout=PIPE, text=True) as working:
        assert working.stdin is not None and working.stdout is not None
        ready = working.stdout.readline()
        assert ready.strip() == READY, f"the product ended before it was ready: {ready}"
        asyncio.run(_append(settings, events, start + FIRST))
        told, _ = working.communicate("go on\n")
    assert working.returncode == 0
    print("product", told.splitlines()[-1], file=sys.stderr)
    return json.loads(told.splitlines()[-1])


async def product_part(settings: Settings, number: int) -> dict[str, float]:
    """Join, count a first part and stand still; then work until all events are counted, to the last counter's row."""
    warm_kernels()
    parts = await Parts.open(settings)
    worker, first = parts.worker("viewers", "counters"), await parts.ends(USER_INTERACTION)
    before = offsets(settings, "viewer", len(first))
    begun = time.process_time()
    working = asyncio.create_task(worker.run())
    await until_counted(worker, parts)
    start_s = time.process_time() - begun
    print(READY, flush=True)
    sys.stdin.readline()  # the loop too waits for it
    wall, cpu = time.perf_counter(), time.process_time()
    ends = await parts.ends(USER_INTERACTION)
    await until_counted(worker, parts)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await parts.close()
    return {
        "events": sum(ends) - sum(first), "cpu_s": spent[0], "wall_s": spent[1],
        "first": sum(first) - sum(before), "start_s": start_s,
    }  # fmt: skip


async def feast_part(settings: Settings, number: int, batch: int = BATCH, most: int = PUSHED) -> dict[str, float]:
    """The same from the same topic by Feast's own push, after a first one; fewer events, for it takes its time."""
    from benchmarks._stream_feast import FeastPush

    parts = await Parts.open(settings)
    await parts.catalogue.load()
    await parts.catalogue.advance()
    partition, push = number % len(await parts.ends(USER_INTERACTION)), FeastPush(settings, parts.catalogue.table)
    push.apply(await parts.log.read(USER_INTERACTION, partition, 0, 100))
    count, after, wall, cpu = 0, 100, time.perf_counter(), time.process_time()
    while count < most and (entries := await parts.log.read(USER_INTERACTION, partition, after, batch)):
        push.apply(entries)
        count, after = count + len(entries), entries[-1].offset
    spent = time.process_time() - cpu, time.perf_counter() - wall
    push.check()
    await parts.close()
    return {"events": count, "cpu_s": spent[0], "wall_s": spent[1]}


async def small_part(settings: Settings, number: int) -> dict[str, float]:
    """Feast's push in micro-batches of what arrives within 100 ms at RATE: rows as fresh as the product's."""
    return await feast_part(settings, number, RATE // 10, PUSHED // 8)


async def check_part(settings: Settings, number: int) -> dict[str, float]:
    """Every row beside a plain count."""
    parts = await Parts.open(settings)
    rows = await check(parts)
    await parts.close()
    return {"rows": rows}


PARTS = {"product": product_part, "feast": feast_part, "small": small_part, "check": check_part}


async def _latency(settings: Settings, seconds: int) -> list[float]:
    """Milliseconds from an event's handing over to its being in the viewer's online row, at RATE events a second."""
    told = json.dumps(settings.model_dump(mode="json"))
    worker = subprocess.Popen([sys.executable, "-m", "benchmarks._stream_worker", told])
    parts = await Parts.open(settings)
    try:
        # A first event tells that the worker has joined; what follows is not measured while it warms up.
        events = iter(events_of(RATE * (seconds + WARM_S + 5), 10_000_000, seed=9))
        await StreamSink(parts.log).append([next(events) for _ in range(200)])
        await until_applied(parts, USER_INTERACTION, "viewer")
        found = await _steady(parts, events, seconds)
        await until_applied(parts, USER_INTERACTION, "viewer")
        await until_applied(parts, COUNTS, "counter")
    finally:
        worker.terminate()
        with suppress(subprocess.TimeoutExpired):
            worker.wait(20)
        await parts.close()
    return found


async def _steady(parts, events, seconds: int) -> list[float]:
    """Append at RATE; every now and then one event is looked for until it is there."""
    sink, rng, tasks, found = StreamSink(parts.log), random.Random(5), set(), list[float]()
    begin, sent, sampled = time.perf_counter(), 0, 0.0
    while (passed := time.perf_counter() - begin) < seconds + WARM_S:
        due = [next(events) for _ in range(int(passed * RATE) - sent)]
        sent += len(due)
        if due:
            sample = passed > WARM_S and passed - sampled > SAMPLE_EVERY_S
            sampled = passed if sample else sampled
            task = asyncio.create_task(_timed(parts, sink, due, rng.randrange(len(due)), found if sample else None))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.005)
    await asyncio.gather(*tasks)
    return found


async def _timed(parts: Parts, sink: StreamSink, events: list, chosen: int, found: list[float] | None) -> None:
    start = time.perf_counter()
    placed = await sink.append(events)
    if found is None:
        return
    viewer, offset = events[chosen].viewer_id, placed[chosen].offset
    while True:
        raw = (await parts.features.read("viewer", [viewer]))[0]
        if raw is not None and record_of(raw, VIEWER_DTYPE)[0]["version"] >= offset:
            found.append(1_000 * (time.perf_counter() - start))
            return
        assert time.perf_counter() - start < 30, "an event did not become readable"
        await asyncio.sleep(0.002)


def _rate(runs: list, events: list[str], seconds: list[str]) -> float:
    """Over all rounds together: what only every other round has to do (a state file's folding) counts in proportion."""
    return sum(run[name] for run in runs for name in events) / sum(run[name] for run in runs for name in seconds)


def report(product: list, pushed: list, small: list, latencies: np.ndarray, rows: int) -> None:
    """The table, and one line for programs."""

    ours, feast, fresh = (_rate(runs, ["events"], ["cpu_s"]) for runs in (product, pushed, small))
    whole = _rate(product, ["events", "first"], ["cpu_s", "start_s"])
    p50, p99 = (float(x) for x in np.percentile(latencies, [50, 99]))
    versions = " ".join(f"{name} {version(name)}" for name in ("feast", "aiokafka", "redis", "numpy", "numba"))
    print(f"Kafka to online store; Python {platform.python_version()} {versions} {platform.machine()}")
    print(f"{VIEWERS:,} viewers, {VIDEOS:,} videos; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"all {rows:,} rows equal a plain count\n")
    print(f"{'events a processor second':30}{'all':>10}  rounds")
    names = "product", f"Feast's push, {BATCH:,} at once", f"Feast's push, {RATE // 10} at once"
    for name, runs in zip(names, (product, pushed, small), strict=True):
        found = " ".join(f"{_rate([run], ['events'], ['cpu_s']):,.0f}" for run in runs)
        print(f"{name:30}{_rate(runs, ['events'], ['cpu_s']):>10,.0f}  {found}")
    print(f"{'product, with its start':30}{whole:>10,.0f}  {whole / feast:.1f} times Feast's push")
    print(f"{'ratio':30}{ours / feast:>10.1f}  ({AT_LEAST} due); {ours / fresh:.1f} beside the small ones\n")
    print(f"readable after, at {RATE:,} events/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {latencies.max():.0f} ms"
          f" ({len(latencies)} samples; {P99_MS} ms due)")  # fmt: skip
    line = {"benchmark": "stream", "ratio": round(ours / feast, 1), "events_per_core_s": round(ours),
            "feast_per_core_s": round(feast), "started_ratio": round(whole / feast, 1),
            "fresh_ratio": round(ours / fresh, 1), "p50_ms": round(p50, 1), "p99_ms": round(p99, 1)}  # fmt: skip
    print(json.dumps(line))
    short = [name for name, bad in (("ratio", ours / feast < AT_LEAST), ("p99", p99 > P99_MS)) if bad]
    if short:
        print(f"Below what is due: {', '.join(short)}.", file=sys.stderr)


if __name__ == "__main__":
    main()
