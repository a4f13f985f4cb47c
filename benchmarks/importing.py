"""Events a minute and peak memory of an import at two file sizes, against a plain loop over the rows.

Each row of the plain loop is read with `json.loads`, becomes the same events as JSON, unchecked, and each event is
one `INSERT OR IGNORE` keyed by its id. The named baseline commits each event, as a service does that acknowledges
events one by one; `batched` commits each 1,000 rows, and shows what the checks and the typed events of the product
cost. All write with synchronous = FULL. Every run is a process of its own, so that its peak resident memory is its
own; the importers run interleaved; every result is checked. Rates are by wall clock; the CPU column is what a busy
machine does not change.

    python benchmarks/importing.py [--rows 20000] [--factor 4] [--rounds 2]
"""

import argparse
import asyncio
import json
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

START_MS = 1_700_000_000_000
MAPPING = """
name: bench
columns:
  {event_id: event_id, session_id: session_id, viewer_id: viewer_id, video_id: video_id, author_id: author_id,
   position: position, time_ms: time_ms, play_ms: play_ms, length_ms: length_ms, like: like, follow: follow}
"""


def write_log(path: Path, rows: int) -> int:
    """A JSON Lines log; the number of events that it holds, videos and all."""
    random = np.random.default_rng(11)
    length = random.integers(5_000, 60_000, rows)
    play = (length * random.random(rows)).astype(int)
    viewer, video = random.integers(0, 10_000, rows), random.integers(0, 5_000, rows)
    like, follow = random.random(rows) < 0.03, random.random(rows) < 0.01
    with path.open("w") as stream:
        for n in range(rows):
            row = {
                "event_id": f"row-{n}", "session_id": f"s{n // 20}", "viewer_id": f"u{viewer[n]}",
                "video_id": f"v{video[n]}", "author_id": f"a{video[n] % 700}", "position": n % 20,
                "time_ms": START_MS + 10 * n, "play_ms": int(play[n]), "length_ms": int(length[n]),
                "like": bool(like[n]), "follow": bool(follow[n]),
            }  # fmt: skip
            stream.write(json.dumps(row) + "\n")
    return 2 * rows + int(like.sum()) + int(follow.sum()) + len(set(video.tolist()))


def product(log: Path, home: Path) -> int:
    """Import with the product; events on the log."""
    from backends.sqlite.database import Database
    from backends.sqlite.event_log import SqliteEventLog
    from backends.sqlite.tables import SqliteTables
    from core.clock import system_clock
    from foryou.importers import ImportStores, import_events

    (home / "mapping.yaml").write_text(MAPPING)
    event_log = SqliteEventLog(Database(home / "log.db", durable=True))
    tables = SqliteTables(Database(home / "state.db", durable=False))
    stores = ImportStores(event_log, tables, home, system_clock)
    asyncio.run(import_events(log, home / "mapping.yaml", stores))
    return asyncio.run(event_log.end())


def baseline(log: Path, home: Path) -> int:
    """Import a row at a time and commit each event; events in the table."""
    return _plain(log, home, 0)


def batched(log: Path, home: Path) -> int:
    """The same with a commit for each 1,000 rows."""
    return _plain(log, home, 1_000)


def _plain(log: Path, home: Path, commit_rows: int) -> int:
    connection = sqlite3.connect(home / "baseline.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (number INTEGER PRIMARY KEY, id TEXT UNIQUE, event TEXT)")
    if commit_rows:
        connection.execute("BEGIN")
    with log.open() as stream:
        for number, line in enumerate(stream, 1):
            for key, event in _plain_events(json.loads(line)):
                text = json.dumps({**event, "event_id": key})
                connection.execute("INSERT OR IGNORE INTO events (id, event) VALUES (?, ?)", (key, text))
            if commit_rows and number % commit_rows == 0:
                connection.execute("COMMIT")
                connection.execute("BEGIN")
    if commit_rows:
        connection.execute("COMMIT")
    return int(connection.execute("SELECT count(*) FROM events").fetchone()[0])


def _plain_events(row: dict):
    base = {name: row[name] for name in ("viewer_id", "video_id", "time_ms")}
    video = {"kind": "video_published", "author_id": row["author_id"], "length_ms": row["length_ms"]}
    yield f"video-{row['video_id']}", {**base, **video}
    shown = {"kind": "impression", "position": row["position"], "session_id": row["session_id"]}
    yield f"{row['event_id']}-impression", {**base, **shown}
    watch = {"kind": "watch", "play_ms": row["play_ms"], "length_ms": row["length_ms"]}
    yield f"{row['event_id']}-watch", {**base, **watch}
    for name in ("like", "follow"):
        if row[name]:
            yield f"{row['event_id']}-{name}", {**base, "kind": name, "author_id": row["author_id"]}


IMPORTERS = {"product": product, "baseline": baseline, "batched": batched}


def run(name: str, log: Path, events: int) -> dict[str, float]:
    """Seconds, CPU seconds and peak MiB of one import in a process of its own."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, __file__, "--one", name, str(log), home]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    if found["events"] != events:
        raise SystemExit(f"{name} gave {found['events']} events of {log}, and it holds {events}.")
    return found


def one(name: str, log: Path, home: Path) -> None:
    """The inside of such a process; loading modules is not timed."""
    import backends.sqlite.event_log  # noqa: F401
    import foryou.importers  # noqa: F401

    start, cpu = time.perf_counter(), time.process_time()
    events = IMPORTERS[name](log, home)
    found = {"events": events, "seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=3)
    options = parser.parse_args()
    if options.one:
        one(options.one[0], Path(options.one[1]), Path(options.one[2]))
        return
    versions = f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, pyarrow {pa.__version__}"
    print(f"importing JSON Lines ({versions})")
    print(f"{'rows':>10} {'events':>10} {'importer':>10} {'events/min':>12} {'CPU s':>7} {'peak MiB':>9}")
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        # A commit for each event takes minutes for the larger files, at the same rate.
        for size, rows, names in (
            ("tiny", options.rows // 10, ("baseline",)),
            ("small", options.rows, ("product", "batched")),
            ("large", options.rows * options.factor, ("product", "batched")),
        ):
            log = Path(folder) / f"{size}.jsonl"
            figures.update(_measure(size, names, log, rows, options.rounds))
    print(json.dumps({
        "benchmark": "importing",
        "ratio": round(figures["product_large_per_min"] / figures["baseline_tiny_per_min"], 2),
        "ratio_to_batched": round(figures["product_large_per_min"] / figures["batched_large_per_min"], 2),
        "memory_ratio": round(figures["product_large_mib"] / figures["product_small_mib"], 2),
        "baseline": "json.loads a row, one committed INSERT an event",
        **{name: round(value) for name, value in figures.items()},
    }))  # fmt: skip


def _measure(size: str, names: tuple[str, ...], log: Path, rows: int, rounds: int) -> dict[str, float]:
    events = write_log(log, rows)
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, runs in taken.items():
            runs.append(run(name, log, events))
    figures = {}
    for name, runs in taken.items():
        rate = 60 * events / median(found["seconds"] for found in runs)
        cpu = median(found["cpu_s"] for found in runs)
        peak = max(found["peak_mib"] for found in runs)
        per_cpu_minute = 60 * events / cpu
        figures.update({f"{name}_{size}_per_min": rate, f"{name}_{size}_mib": peak})
        figures[f"{name}_{size}_per_cpu_min"] = per_cpu_minute
        print(f"{rows:>10,} {events:>10,} {name:>10} {rate:>12,.0f} {cpu:>7.2f} {peak:>9,.0f}")
    return figures


if __name__ == "__main__":
    main()
