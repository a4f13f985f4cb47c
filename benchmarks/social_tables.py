"""Follows with exact counters in PostgreSQL: one statement a micro-batch against a transaction for each event.

The plain way is what a service does that writes one follow at a time: in one transaction read the pair under its lock,
write it when the event is later, and move both counters when it really changed. Each way has a server's database of its
own; both get the same batches by turns, and must end with the same rows and counters.
"""

import asyncio
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

import asyncpg
import numpy as np

from backends.postgres.database import PostgresDatabase
from backends.postgres.migrate import migrate
from backends.postgres.tables import PostgresTables
from core.catalogue import ViewerRecord
from core.events import Follow, Unfollow
from core.ports import Record
from core.settings import Settings
from deploy.stack import Stack

USERS, BATCHES, SIZE, READS = 20_000, 12, 500, 1_500
DAY_MS = 1_700_000_000_000
_ROWS = "SELECT follower_user_id, following_user_id, stands, created_at, log_offset FROM followers ORDER BY 1, 2"
_COUNTS = "SELECT user_id, follower_count, following_count FROM users ORDER BY 1"


def main() -> None:
    """Start a server, run, check, print."""
    with tempfile.TemporaryDirectory(prefix="foryou-bench-") as folder:
        Path(folder).chmod(0o711)
        stack = Stack(Path(folder) / "stack")
        server = stack.up(["postgres"]).postgres
        try:
            asyncio.run(run(server))
        finally:
            stack.remove()


async def run(server: str) -> None:
    """Both ways by turns, then reads of the product."""
    ours, plain = await made(server, "ours"), await made(server, "plain")
    database, connection = PostgresDatabase(ours), await asyncpg.connect(plain.postgres)
    tables, plain_tables = PostgresTables(database), PostgresDatabase(plain)
    users = [ViewerRecord(user_id=f"u{number}", region="R", traits=("a", "b")) for number in range(USERS)]
    for each in (tables, PostgresTables(plain_tables)):
        await each.put_users(users)
    rng = random.Random(7)
    times: dict[str, list[float]] = {"plain": [], "product": [], "replay": []}
    for number in range(BATCHES):
        batch = [event(rng, number * SIZE + place) for place in range(SIZE)]
        times["plain"].append(await timed(lambda batch=batch: one_by_one(connection, batch)))
        times["product"].append(await timed(lambda batch=batch: tables.relate(batch)))
        times["replay"].append(await timed(lambda batch=batch: tables.relate(batch)))
    for sql in (_ROWS, _COUNTS):
        if await database.read(sql) != await plain_tables.read(sql):
            sys.exit(f"The two ways differ: {sql}")
    reads = {
        "relations": [await timed(lambda: tables.relations(f"u{rng.randrange(USERS)}")) for _ in range(READS)],
        "users": [await timed(lambda: tables.users([f"u{rng.randrange(USERS)}"])) for _ in range(READS)],
        "SELECT 1": [await timed(lambda: database.read("SELECT 1")) for _ in range(READS)],
    }
    await connection.close()
    await database.close()
    await plain_tables.close()
    report(times, reads)


async def made(server: str, name: str) -> Settings:
    """A database with our tables."""
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    settings = Settings(postgres=f"{server.rpartition('/')[0]}/{name}")
    await migrate(settings)
    return settings


def event(rng: random.Random, number: int) -> Record:
    """A follow, or one in eight taken back; few authors have most followers."""
    kind = Unfollow if rng.random() < 0.125 else Follow
    viewer, author = f"u{rng.randrange(USERS)}", f"u{int(rng.paretovariate(0.7)) % USERS}"
    act = kind(event_id=f"e{number}", viewer_id=viewer, author_id=author, time_ms=DAY_MS + number)
    return Record(number + 1, act)


async def one_by_one(connection: asyncpg.Connection, batch: list[Record]) -> None:
    """The plain way."""
    for record in batch:
        act = record.event
        stands = isinstance(act, Follow)
        async with connection.transaction():
            old = await connection.fetchrow(
                "SELECT stands, created_at < to_timestamp($3::bigint / 1000.0) AS later FROM followers"
                " WHERE follower_user_id = $1 AND following_user_id = $2 FOR UPDATE",
                act.viewer_id, act.author_id, act.time_ms,
            )  # fmt: skip
            if old is not None and not old["later"]:
                continue
            await connection.execute(
                "INSERT INTO followers (follower_user_id, following_user_id, stands, created_at, log_offset)"
                " VALUES ($1, $2, $3, to_timestamp($4::bigint / 1000.0), $5) ON CONFLICT (follower_user_id,"
                " following_user_id) DO UPDATE SET stands = $3, created_at = excluded.created_at, log_offset = $5",
                act.viewer_id, act.author_id, stands, act.time_ms, record.offset,
            )  # fmt: skip
            change = int(stands) - int(old is not None and old["stands"])
            if change:
                for column, user in (("follower_count", act.author_id), ("following_count", act.viewer_id)):
                    await connection.execute(
                        f"UPDATE users SET {column} = {column} + $2 WHERE user_id = $1", user, change
                    )


async def timed(act: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of one run."""
    began = time.perf_counter()
    await act()
    return 1e3 * (time.perf_counter() - began)


def report(times: dict[str, list[float]], reads: dict[str, list[float]]) -> None:
    """The tables and the JSON line; `ratio` is of the median batches."""
    packages = " ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "asyncpg"))
    print(f"{USERS:,} users, {BATCHES} batches of {SIZE} follows, the same rows and counters from both")
    print(f"Python {platform.python_version()} {packages} {platform.machine()}, by turns on one server\n")
    print(f"{'':12}{'p50 ms':>10}{'p99 ms':>10}{'events/s':>12}")
    for name, spent in times.items():
        p50, p99 = np.percentile(spent, (50, 99))
        print(f"{name:12}{p50:10.2f}{p99:10.2f}{1e3 * SIZE / p50:12,.0f}")
    for name, spent in reads.items():
        p50, p99 = np.percentile(spent, (50, 99))
        print(f"{name:12}{p50:10.2f}{p99:10.2f}")
    plain, product = np.median(times["plain"]), np.median(times["product"])
    line = {"benchmark": "social_tables", "ratio": plain / product, "batch_p50_ms": product, "baseline_p50_ms": plain}
    line |= {f"{name}_p50_ms": np.median(spent) for name, spent in reads.items() if name != "SELECT 1"}
    print(json.dumps({name: x if isinstance(x, str) else round(float(x), 2) for name, x in line.items()}))


if __name__ == "__main__":
    main()
