"""Events a second into Cassandra's history tables, beside one insert after the other, and how long a request reads.

Both write the same rows with the same prepared statements at the same consistency level; the plain way waits for
each row, the product sends a viewer's rows of a micro-batch together and many viewers at once. They run interleaved
on a new keyspace, and both histories are read back and compared with what was sent. Reads are `seen` of viewers with
1,000 and 10,000 sights and the reactions of a viewer with 200. The server is that of FORYOU_CASSANDRA.

    eval "$(foryou stack up cassandra)"
    python benchmarks/history.py [--events 6000] [--batch 500] [--rounds 3]
"""

import argparse
import asyncio
import json
import platform
import random
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median, quantiles

import cassandra

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backends.cassandra.history import CassandraHistory, ensure_schema
from backends.cassandra.rows import rows_of
from backends.cassandra.session import CassandraSession
from core.events import Impression, Like, Watch
from core.ports import Record
from core.settings import Settings

START_MS = 1_780_000_000_000
VIEWERS = 400
READS = 60


def log_of(way: str, number: int, events: int) -> list[Record]:
    """Half impressions, 43% watches, 7% likes of 400 viewers of this run; the same for both ways but for their ids."""
    chance = random.Random(number)
    made = []
    for at in range(events):
        key = {
            "event_id": f"{way}-{number}-{at:08d}-{uuid.UUID(int=at)}", "slate_id": f"slate-{at // 20:026d}",
            "viewer_id": f"{way}-{chance.randrange(VIEWERS)}", "video_id": f"video-{chance.randrange(100_000):06d}",
            "time_ms": START_MS + 1_000_000 * number + at,
        }  # fmt: skip
        kind = chance.random()
        if kind < 0.5:
            made.append(Impression(**key, position=at % 20, session_id=f"session-{at // 60}", propensity=0.1))
        else:
            made.append(Watch(**key, play_ms=7_000, length_ms=10_000) if kind < 0.93 else Like(**key))
    return [Record(at, event) for at, event in enumerate(made, 1)]


async def plain(store: CassandraHistory, records: Sequence[Record]) -> None:
    """Each row by itself, one after the other."""
    for record in records:
        for table, values in rows_of(record):
            await store._session.write(store._inserts[table].bind(values), 10)


async def write_all(
    write: Callable[[Sequence[Record]], Awaitable[None]], log: list[Record], batch: int
) -> tuple[float, float, list[float]]:
    """Seconds, CPU seconds of this process, and seconds of each micro-batch."""
    began, cpu, taken = time.perf_counter(), time.process_time(), []
    for first in range(0, len(log), batch):
        start = time.perf_counter()
        await write(log[first : first + batch])
        taken.append(time.perf_counter() - start)
    return time.perf_counter() - began, time.process_time() - cpu, taken


async def check(store: CassandraHistory, log: list[Record]) -> None:
    """Every event of the log is there once."""
    viewers = {record.event.viewer_id for record in log}
    kept = [row.event_id for viewer in viewers for row in await store.interactions(viewer)]
    sent = {record.event.event_id for record in log}
    if len(kept) != len(set(kept)) or not sent <= set(kept):
        raise SystemExit(f"{len(sent - set(kept))} of {len(sent)} events are missing.")


async def read_ms(read: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Median and 95th percentile."""
    taken = []
    for _ in range(READS):
        start = time.perf_counter()
        await read()
        taken.append(1_000 * (time.perf_counter() - start))
    return median(taken), quantiles(taken, n=20)[-1]


async def measure(store: CassandraHistory, options: argparse.Namespace) -> None:
    """Write both ways, read, print."""
    taken: dict[str, list[tuple[float, float, list[float]]]] = {"product": [], "plain": []}
    sizes = {"product": options.events, "plain": options.events // 6}
    for number in range(options.rounds + 1):  # the first warms the server up
        for way, write in (("product", store.record), ("plain", lambda records: plain(store, records))):
            log = log_of(way, number, sizes[way])
            taken[way].append(await write_all(write, log, options.batch))
            await check(store, log)
    rates = {way: sizes[way] / median(run[0] for run in runs[1:]) for way, runs in taken.items()}
    cpu_us = {way: 1e6 * median(run[1] for run in runs[1:]) / sizes[way] for way, runs in taken.items()}
    batches = sorted(1_000 * each for run in taken["product"][1:] for each in run[2])
    print(f"{'way':>8} {'events/s':>9} {'client CPU us/event':>20}")
    for way, rate in rates.items():
        print(f"{way:>8} {rate:>9,.0f} {cpu_us[way]:>20,.0f}")
    print(f"a micro-batch of {options.batch}: {median(batches):.0f} ms p50, {batches[-1]:.0f} ms at most")
    figures = {f"{way}_events_per_s": round(rate) for way, rate in rates.items()}
    figures |= await measure_reads(store)
    print(json.dumps({
        "benchmark": "history", "ratio": round(rates["product"] / rates["plain"], 1), **figures,
        "baseline": "the same prepared inserts, each awaited", "batch_p50_ms": round(median(batches)),
    }))  # fmt: skip


async def measure_reads(store: CassandraHistory) -> dict[str, float]:
    """Milliseconds of what a request reads."""
    figures: dict[str, float] = {}
    for length in (1_000, 10_000):
        viewer = f"reader-{length}"
        events = [
            Impression(event_id=f"{at}", viewer_id=viewer, video_id=f"video-{at:06d}", time_ms=START_MS + at)
            for at in range(length)
        ]
        likes = [
            Like(event_id=f"l{at}", viewer_id=viewer, video_id=f"video-{at:06d}", time_ms=START_MS) for at in range(200)
        ]
        await store.record([Record(at, event) for at, event in enumerate([*events, *likes], 1)])
        if await store.seen(viewer) != [event.video_id for event in events]:
            raise SystemExit(f"The list of {length} sights is not what was written.")
        reads = {f"seen_{length}": lambda v=viewer: store.seen(v)}
        if length == 1_000:
            reads["reactions_200"] = lambda v=viewer: store.reactions(v)
        for name, read in reads.items():
            figures[f"{name}_p50_ms"], figures[f"{name}_p95_ms"] = (round(ms, 1) for ms in await read_ms(read))
            print(f"{name}: {figures[f'{name}_p50_ms']} ms p50, {figures[f'{name}_p95_ms']} ms p95")
    return figures


async def main() -> None:
    """Make a keyspace, measure, drop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=6_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = Settings(cassandra_keyspace=f"benchmark_{uuid.uuid4().hex[:8]}", cassandra_timeout_ms=30_000)
    await ensure_schema(settings)
    store = await CassandraHistory.open(settings)
    print(f"history on Cassandra (python {platform.python_version()}, cassandra-driver {cassandra.__version__})")
    try:
        await measure(store, options)
    finally:
        await store.close()
        session = CassandraSession.connect(settings, with_keyspace=False)
        session.session.execute(f"DROP KEYSPACE {settings.cassandra_keyspace}", timeout=60)
        session.close()


if __name__ == "__main__":
    asyncio.run(main())
