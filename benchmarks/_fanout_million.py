"""How soon a video of an author with a million followers is on all their pages, with Kafka and Redis between."""

import asyncio
import os
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Final

from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from backends.redis.bitmaps import RedisBitmaps
from backends.redis.inboxes import RedisInboxes
from backends.redis.ledger import RedisLedger
from backends.redis.nodes import Nodes
from backends.sqlite.database import Database
from backends.sqlite.partition_state import SqlitePartitionState
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.clock import system_clock
from core.events import Follow, VideoPublished, encode
from core.log import Message
from core.ports import Record
from core.settings import Settings
from core.topics import VIDEO_PROCESSED
from features.stream.catalogue import CatalogueFollower
from features.stream.loop import StageConfig
from features.stream.worker import Worker, registrar
from feeds.active_users import ActiveConfig, ActiveUsers
from feeds.author_rows import AuthorRows
from feeds.fanout import Fanout, FanoutConfig
from feeds.fanout_work import pushes, teller
from feeds.following_inbox import FollowingInbox

SAMPLED, VIDEOS, FOLLOWERS = 300, 7, 1_000_000
STAR: Final = "star"


class Crowd:
    """A million followers, whom nobody may list."""

    async def counts(self, author_ids: Sequence[str]) -> list[int]:
        """How many."""
        return [FOLLOWERS for _ in author_ids]

    async def followers(self, author_id: str) -> list[str]:
        """Never asked for."""
        raise AssertionError("A million followers were listed.")


async def until_readable(addresses: Any, folder: Path) -> dict[str, float]:
    """Part 3: the median of some videos, in milliseconds."""
    folder.mkdir()
    settings = Settings(kafka=addresses.kafka, redis=addresses.redis, kafka_prefix="million.", redis_prefix="million:")
    await ensure_topics(settings)
    log, nodes = await KafkaMessageLog.open(settings), Nodes(settings.redis, prefix=settings.redis_prefix)
    tables = SqliteTables(Database(folder / "tables.db", durable=False))
    follows = [
        Record(n + 1, Follow(event_id=f"f{n}", viewer_id=f"u{n}", author_id=STAR, time_ms=1)) for n in range(SAMPLED)
    ]
    await tables.relate(follows)
    worker, replica = _follower(log, folder / "worker.db"), _follower(log, folder / "replica.db")
    reader, running = _reader(nodes, replica, tables), asyncio.ensure_future(_worker(log, nodes, worker).run())
    following = [asyncio.ensure_future(catalogue.follow()) for catalogue in (worker, replica)]
    times = [await _until_all(log, reader, number) for number in range(VIDEOS)][1:]
    for task in (running, *following):
        task.cancel()
    await asyncio.gather(running, *following, return_exceptions=True)
    await log.close()
    await nodes.close()
    first, every = (sorted(one[place] for one in times) for place in (0, 1))
    print(f"an author with {FOLLOWERS:,} followers, {len(times)} videos: from the appending to Kafka until")
    print(f"a follower's page begins with it {first[len(first) // 2]:.0f} ms (at most {first[-1]:.0f}),")
    print(f"{SAMPLED} pages asked for at once do {every[len(every) // 2]:.0f} ms (at most {every[-1]:.0f});")
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
    return {"million_first_ms": first[len(first) // 2], "million_all_ms": every[len(every) // 2]}


async def _until_all(log: KafkaMessageLog, reader: FollowingInbox, number: int) -> tuple[float, float]:
    """Milliseconds from the appending of a video until a follower's page begins with it, and all sampled ones' do."""
    event = VideoPublished(
        event_id=f"p{number}", viewer_id=STAR, time_ms=system_clock(), video_id=f"v{number}", author_id=STAR,
        length_ms=1_000, upload_ms=system_clock(),
    )  # fmt: skip

    async def begins(viewer: int) -> bool:
        rows = await reader.newest(f"u{viewer}", [STAR], 20, None)
        return len(rows) > 0 and reader.rows.place(int(rows[0]))[1] == event.video_id

    began = time.perf_counter()
    await log.append(VIDEO_PROCESSED, [Message(event.video_id, encode(event))])
    while not await begins(0):
        await asyncio.sleep(0.01)
    first = time.perf_counter() - began
    assert all(await asyncio.gather(*map(begins, range(SAMPLED)))), "a follower's page went without it"
    return 1e3 * first, 1e3 * (time.perf_counter() - began)


def _follower(log: KafkaMessageLog, file: Path) -> CatalogueFollower:
    database = Database(file, durable=False)
    return CatalogueFollower(log, SqliteVideoStore(database), SqlitePartitionState(database), database.transaction)


def _parts(nodes: Nodes) -> tuple[RedisLedger, ActiveUsers]:
    ledger = RedisLedger(nodes, lambda: str(time.time_ns()))
    active = ActiveUsers(RedisBitmaps(nodes), ledger, ledger, system_clock, lambda: "n", ActiveConfig())
    return ledger, active


def _worker(log: KafkaMessageLog, nodes: Nodes, catalogue: CatalogueFollower) -> Worker:
    ledger, active = _parts(nodes)
    fanout = Fanout(FanoutConfig(), catalogue, Crowd(), RedisInboxes(nodes), ledger, active, teller(log))
    return Worker({"catalogue": registrar(log, StageConfig()), "fanout": pushes(log, fanout, StageConfig())})


def _reader(nodes: Nodes, catalogue: CatalogueFollower, tables: SqliteTables) -> FollowingInbox:
    (ledger, active), tasks = _parts(nodes), _Tasks()
    return FollowingInbox(
        FanoutConfig(), catalogue, AuthorRows(catalogue.table), RedisInboxes(nodes), ledger, active, tables,
        system_clock, lambda: str(time.time_ns()), tasks.begin, lambda way: None, 1_000,
    )  # fmt: skip


class _Tasks:
    """Side effects under way."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[None]] = set()

    def begin(self, work: Awaitable[None]) -> None:
        """Run it beside."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
