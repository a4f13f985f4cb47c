"""Events a second that Trending counts, and how fast a board is made, beside a plain table of who did what.

The plain way keeps the same facts in SQLite too: one row for each viewer, video and kind, an upsert for each event in a
transaction for each micro-batch, and event ids by INSERT OR IGNORE; the distinct viewers are grouped when a board is
asked for. The product keeps hourly sums beside its marks, and writes a micro-batch together. Both are compared with a
slow recount of all events (tests/feeds/trending_recount.py) before anything is printed: every board of each way.

    python benchmarks/trending.py [--events 1000000] [--batch 2000]
"""

import argparse
import json
import os
import platform
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backends.sqlite.trend_state import SqliteTrendStates
from core.events import Event, Impression, Like, Share, Unlike, VideoPublished, Watch
from core.ports import Record
from core.trends import HOUR_MS
from core.video_table import VideoTable
from features.stream.warm import rarely_collected
from feeds.trending.board import BoardKey, make_board
from feeds.trending.config import HOURS, LONGEST, TrendingConfig
from feeds.trending.counting import TrendCounting
from feeds.trending.counts import read_counts
from tests.feeds.trending_recount import Recount

START_MS, DAYS, VIEWERS, VIDEOS = 1_790_000_000_000, 8, 20_000, 5_000
NOW_MS = START_MS + DAYS * 24 * HOUR_MS
REGIONS = ("DE", "US", "FR", "")
KEYS = [BoardKey("spec", window, region) for window in HOURS for region in ("", "US")]
Shown = list[tuple[str, int]]


def log_of(count: int) -> list[Record]:
    """Half impressions, then watches, likes and shares; 10% told up to two days late, 5% told twice."""
    rng = np.random.default_rng(7)
    viewers, videos = rng.integers(0, VIEWERS, count), rng.zipf(1.3, count) % VIDEOS
    taken = np.sort(rng.integers(START_MS, NOW_MS, count))
    late = np.where(rng.random(count) < 0.1, rng.integers(0, 48 * HOUR_MS, count), 0)
    kinds, again = rng.choice(5, count, p=(0.5, 0.4, 0.06, 0.01, 0.03)), rng.random(count) < 0.05
    events: list[Event] = []
    columns = (viewers, videos, taken, late, kinds, again)
    for number, (viewer, video, at, ago, kind, twice) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
        if twice and events:
            events.append(events[-min(number % 1_000 + 1, len(events))])
            continue
        fields = {
            "event_id": f"e{number}", "viewer_id": f"u{viewer}", "video_id": f"v{video}", "time_ms": at - ago,
            "ingested_ms": at, "viewer_region": REGIONS[viewer % 4],
        }  # fmt: skip
        if kind == 1:
            events.append(Watch(**fields, play_ms=7_000, length_ms=10_000))
        else:
            events.append((Impression, Watch, Like, Unlike, Share)[kind](**fields))
    return [Record(offset, event) for offset, event in enumerate(events, 1)]


class Product:
    """TrendCounting over the file of a partition, as a worker runs it."""

    def __init__(self, folder: Path, table: VideoTable) -> None:
        self._state, self._table = SqliteTrendStates(folder).open_trend("trending-0"), table
        self._counting = TrendCounting(self._state, TrendingConfig(), repeats=True)

    def count(self, records: list[Record]) -> None:
        self._counting.apply(records, {}, NOW_MS // HOUR_MS - LONGEST, records[-1].offset)

    def board(self, key: BoardKey) -> Shown:
        counts = read_counts(self._state, key.window, NOW_MS // HOUR_MS)
        board = make_board(key, counts, self._table, NOW_MS, TrendingConfig())
        return list(zip(board.video_ids, board.scores, strict=True))


class Plain:
    """One table of who did what, an upsert for each event."""

    def __init__(self, folder: Path, table: VideoTable) -> None:
        self._db = sqlite3.connect(folder / "plain.db", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL", "PRAGMA cache_size = -65536",
            "CREATE TABLE ids (viewer TEXT, event TEXT, PRIMARY KEY (viewer, event)) WITHOUT ROWID",
            "CREATE TABLE shown (viewer TEXT PRIMARY KEY, first INT, count INT, day INT, days INT) WITHOUT ROWID",
            "CREATE TABLE acts (viewer TEXT, video TEXT, kind TEXT, hour INT, units INT, region TEXT, time INT,"
            " PRIMARY KEY (viewer, video, kind)) WITHOUT ROWID",
        ):  # fmt: skip
            self._db.execute(statement)
        self._table = table

    def count(self, records: list[Record]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for record in records:
            self._one(record.event)
        self._db.execute("COMMIT")

    def _one(self, event: Event) -> None:
        db, viewer, at = self._db, event.viewer_id, event.ingested_ms
        if not db.execute("INSERT OR IGNORE INTO ids VALUES (?, ?)", (viewer, event.event_id)).rowcount:
            return
        db.execute("INSERT OR IGNORE INTO shown VALUES (?, ?, 0, -1, 0)", (viewer, at))
        if isinstance(event, Impression):
            day = at // (24 * HOUR_MS)
            db.execute(
                "UPDATE shown SET count = count + 1, days = CASE day WHEN -1 THEN 1 WHEN ? THEN days ELSE 2 END,"
                " day = CASE day WHEN -1 THEN ? ELSE day END WHERE viewer = ?",
                (day, day, viewer),
            )
            return
        first, count, days = db.execute("SELECT first, count, days FROM shown WHERE viewer = ?", (viewer,)).fetchone()
        units = 20 if at - first > 24 * HOUR_MS and count >= 20 and days >= 2 else 1
        kind = {Watch: "view", Share: "share"}.get(type(event), "like")
        newer = "excluded.time >= time" if kind == "like" else "excluded.hour > hour"
        db.execute(
            "INSERT INTO acts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (viewer, video, kind) DO UPDATE SET"
            " hour = excluded.hour, units = excluded.units, region = excluded.region, time = excluded.time"
            f" WHERE {newer}",
            (viewer, event.video_id, kind, event.time_ms // HOUR_MS, 0 if isinstance(event, Unlike) else units,
             event.viewer_region, event.time_ms),
        )  # fmt: skip

    def board(self, key: BoardKey) -> Shown:
        """Distinct viewers grouped from the rows of all who did something."""
        where = "AND region = ?" if key.region else ""
        rows = self._db.execute(
            "SELECT video, sum(units * CASE kind WHEN 'view' THEN 1000 WHEN 'like' THEN 500 ELSE 2000 END) / 20,"
            f" max(hour) FROM acts WHERE hour > ? AND hour <= ? AND units > 0 {where} GROUP BY video",
            (NOW_MS // HOUR_MS - HOURS[key.time_range], NOW_MS // HOUR_MS, *([key.region] if key.region else [])),
        ).fetchall()  # fmt: skip
        scores = []
        for video, points, hour in rows:
            age = max(NOW_MS - int(self._table.upload_ms[self._table.row(video)]), 0) // HOUR_MS
            score = points - 50 * age - 50 * (max(NOW_MS - (hour + 1) * HOUR_MS, 0) // 300_000)
            scores.append((-score, video))
        return [(video, -score) for score, video in sorted(scores)[:100] if -score >= 100]


def measured(way: "Product | Plain", parts: list[list[Record]]) -> tuple[float, float]:
    """Processor seconds to count all, and to make a board once all is counted (mean of all keys)."""
    start = time.process_time()
    for part in parts:
        way.count(part)
    counted_s, start = time.process_time() - start, time.process_time()
    for key in KEYS:
        way.board(key)
    return counted_s, (time.process_time() - start) / len(KEYS)


def main() -> None:
    """Count, compare, tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=2_000)
    options = parser.parse_args()
    published = [
        VideoPublished(
            event_id=f"p{n}", viewer_id=f"a{n}", time_ms=START_MS, video_id=f"v{n}", author_id=f"a{n}", length_ms=9_000,
            upload_ms=START_MS - n * HOUR_MS // 50,
        )
        for n in range(VIDEOS)
    ]  # fmt: skip
    records, table = log_of(options.events), VideoTable()
    for event in published:
        table.publish(event)
    parts = [records[at : at + options.batch] for at in range(0, len(records), options.batch)]
    with tempfile.TemporaryDirectory() as folder:
        ways = {"product": Product(Path(folder), table), "plain": Plain(Path(folder), table)}
        with rarely_collected():  # as a worker runs; here it would look through a million events again and again
            spent = {name: measured(way, parts) for name, way in ways.items()}
        recount = Recount([*published, *(record.event for record in records)])
        for key in KEYS:
            due = recount.board(NOW_MS, key.mode, key.time_range, key.region)
            for name, way in ways.items():
                assert way.board(key) == due, f"{name} differs from the recount on {key}"
        assert recount.board(NOW_MS), "there is nothing to compare"
        literal = ways["product"].board(BoardKey("literal"))
        assert literal == recount.board(NOW_MS, "literal"), "literal differs from the recount"
    report(len(records), spent)


def report(events: int, spent: dict[str, tuple[float, float]]) -> None:
    """The table, and one line for programs."""
    print(f"{events:,} events of {VIEWERS:,} viewers and {VIDEOS:,} videos; {len(KEYS) + 1} boards equal the recount")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; processor time, load"
          f" {os.getloadavg()[0]:.1f}\n\n{'':>10} {'events a second':>16} {'ms a board':>12}")  # fmt: skip
    for name, (counted_s, board_s) in spent.items():
        print(f"{name:>10} {events / counted_s:>16,.0f} {board_s * 1000:>12.1f}")
    (product_s, board_s), (plain_s, plain_board_s) = spent["product"], spent["plain"]
    print(json.dumps({
        "benchmark": "trending", "ratio": round(plain_s / product_s, 2), "events": events,
        "events_s": round(events / product_s), "plain_events_s": round(events / plain_s),
        "board_ms": round(board_s * 1000, 1), "board_ratio": round(plain_board_s / board_s, 2),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
