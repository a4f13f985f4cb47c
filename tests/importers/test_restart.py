"""An import that is killed and started again ends as one that was left alone, in memory that does not grow."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import StorageFull
from foryou.importers import ImportReport, import_world
from tests.importers.made_logs import NOW_MS, events_in, impressions, open_stores, repeat_rows, write_world

ROOT = Path(__file__).resolve().parents[2]

IMPORT = """
import asyncio, sys
from pathlib import Path
from foryou.importers import import_world
from tests.importers.made_logs import open_stores
import resource

world, home = map(Path, sys.argv[1:3])
print("ready", flush=True)
asyncio.run(import_world(world, open_stores(home), lambda progress: print(progress.rows, flush=True)))
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)
"""


def start(world: Path, home: Path) -> subprocess.Popen[str]:
    """An import in a process of its own."""
    command = [sys.executable, "-c", IMPORT, str(world), str(home)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def counts(report: ImportReport) -> dict[str, object]:
    """What does not depend on when an import ran."""
    return {name: value for name, value in report.to_dict().items() if name not in ("seconds", "reject_files")}


@pytest.mark.slow
def test_a_killed_import_continues_as_if_nothing_had_happened(tmp_path: Path) -> None:
    log = repeat_rows(impressions(30_000), list(range(100)))
    log["length_ms"][5] = log["length_ms"][25_000] = 0
    world = write_world(tmp_path / "world", log)
    calm = open_stores(tmp_path / "calm")
    whole = asyncio.run(import_world(world, calm))
    expected = events_in(calm)
    random = np.random.default_rng(3)
    for attempt in range(2):
        home = tmp_path / f"killed{attempt}"
        process = start(world, home)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        time.sleep(float(random.uniform(0.1, 1.5)))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        stores = open_stores(home)
        found = events_in(stores)
        assert found == expected[: len(found)]
        if attempt == 1:
            for mark in (home / "imports").glob("*.json"):
                mark.unlink()
        report = asyncio.run(import_world(world, stores))
        assert events_in(stores) == expected
        if attempt < 1:
            assert report.rejected == whole.rejected and report.duplicates == whole.duplicates
        rejects = (home / "rejects" / "world-impressions.jsonl").read_bytes()
        assert rejects == (tmp_path / "calm" / "rejects" / "world-impressions.jsonl").read_bytes()


def test_an_append_whose_mark_was_not_written_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from foryou.importers import marks

    world = write_world(tmp_path / "world", repeat_rows(impressions(25_000), [3, 3]))
    calm = asyncio.run(import_world(world, open_stores(tmp_path / "calm")))
    stores = open_stores(tmp_path / "home")
    written = []
    write = marks.MarkFile.write

    def dies(self: marks.MarkFile, mark: marks.Mark) -> None:
        written.append(mark)
        if len(written) == 8:  # users, videos and follows wrote two each, the first chunk of the log one
            raise KeyboardInterrupt
        write(self, mark)

    monkeypatch.setattr(marks.MarkFile, "write", dies)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(import_world(world, stores))
    monkeypatch.undo()
    resumed = asyncio.run(import_world(world, stores))
    skipped = 40 + 2  # the videos and follows of the first run, which had finished
    assert {**counts(resumed), "events": resumed.events + skipped} == counts(calm)


def test_an_import_onto_a_full_disk_stops_and_continues_later(tmp_path: Path) -> None:
    world = write_world(tmp_path / "world", impressions(20_000))
    stores = open_stores(tmp_path / "home")
    database = stores.log._database  # type: ignore[attr-defined]
    database.rows("PRAGMA max_page_count = 700")
    with pytest.raises(StorageFull):
        asyncio.run(import_world(world, stores))
    database.rows("PRAGMA max_page_count = 1000000")
    report = asyncio.run(import_world(world, stores))
    calm = open_stores(tmp_path / "calm")
    asyncio.run(import_world(world, calm))
    assert events_in(stores) == events_in(calm)
    assert report.rows == 20_000 and report.seconds == 0.0  # the clock of the test stands still
    assert stores.clock() == NOW_MS


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for rows in (30_000, 120_000):
        world = write_world(tmp_path / f"world{rows}", impressions(rows))
        process = start(world, tmp_path / f"home{rows}")
        output = process.communicate(timeout=300)[0]
        peaks.append(int(output.rsplit("peak ", 1)[1]))
    # Four times the rows; the database's page cache may still fill up to its 64 MiB.
    assert peaks[1] < peaks[0] + (64 << 10) + 20_000
