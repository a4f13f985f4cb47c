"""The roles of fan-out over a log: what is published reaches inboxes and feed.update, also when it comes twice."""

import asyncio
import itertools

import pytest

from backends.memory import MemoryBitmaps
from backends.memory_fanout import MemoryInboxes, MemoryLedger
from backends.sqlite.database import Database
from backends.sqlite.followers import SqliteFollowers
from backends.sqlite.message_log import SqliteMessageLog
from backends.sqlite.partition_state import SqlitePartitionState
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.clock import system_clock
from core.events import Follow, Unfollow, VideoPublished, VideoRemoved, encode
from core.log import Message
from core.topics import CATALOGUE, FEED_UPDATE, TOPICS, USER_INTERACTION, VIDEO_PROCESSED, FeedUpdate, decode_message
from features.stream.catalogue import CatalogueFollower
from features.stream.loop import StageConfig
from features.stream.worker import Worker, registrar, relations
from feeds.active_users import ActiveConfig, ActiveUsers
from feeds.fanout import Fanout, FanoutConfig
from feeds.fanout_work import pushes, teller, unfollows

NUMBERS = itertools.count(1)
CONFIG = StageConfig(wait_ms=5, apart_s=0, commit_every_s=0.05, first_retry_s=0.01, most_retry_s=0.05)
NOW_MS = 1_700_000_000_000


class Home:
    """A log and its stores; `worker` is a process with every role that Following needs."""

    def __init__(self, folder):
        names = dict.fromkeys((VIDEO_PROCESSED, USER_INTERACTION, FEED_UPDATE), 2)
        names |= {CATALOGUE: 1} | {TOPICS[name].dead_letters: 1 for name in TOPICS}
        self.folder = folder
        self.log = SqliteMessageLog(Database(folder / "log.db", durable=False), names, lease_ms=400)
        database = Database(folder / "stores.db", durable=False)
        self.tables, self.followers = SqliteTables(database), SqliteFollowers(database)
        self.inboxes, self.ledger = MemoryInboxes(system_clock), MemoryLedger(system_clock, self.name)
        self.followed = 0

    def name(self):
        return f"n{next(NUMBERS)}"

    def worker(self):
        database = Database(self.folder / f"catalogue{next(NUMBERS)}.db", durable=False)
        journal = SqlitePartitionState(database)
        self.catalogue = CatalogueFollower(self.log, SqliteVideoStore(database), journal, database.transaction)
        active = ActiveUsers(
            MemoryBitmaps(system_clock), self.ledger, self.ledger, system_clock, self.name, ActiveConfig()
        )
        self.fanout = Fanout(
            FanoutConfig(), self.catalogue, self.followers, self.inboxes, self.ledger, active, teller(self.log)
        )
        roles = {
            "catalogue": registrar(self.log, CONFIG),
            "relations": relations(self.log, self.tables, CONFIG),
            "fanout": pushes(self.log, self.fanout, CONFIG),
            "unfollows": unfollows(self.log, self.tables, self.inboxes, CONFIG),
        }
        return Worker(roles)

    async def put(self, topic, *events):
        await self.log.append(
            topic, [Message(getattr(event, "video_id", event.viewer_id), encode(event)) for event in events]
        )

    async def relate(self, kind, viewer, author):
        event = kind(event_id=self.name(), viewer_id=viewer, author_id=author, time_ms=NOW_MS + next(NUMBERS))
        await self.log.append(USER_INTERACTION, [Message(viewer, encode(event))])

    async def told(self):
        """What feed.update holds."""
        return [
            decode_message(entry.value)
            for partition in range(2)
            for entry in await self.log.read(FEED_UPDATE, partition, 0, 100)
        ]


def video(video_id, author="a0", **fields):
    return VideoPublished(
        event_id=f"p{video_id}", viewer_id=author, time_ms=NOW_MS, video_id=video_id, author_id=author,
        length_ms=1_000, upload_ms=NOW_MS, **fields,
    )  # fmt: skip


async def until(condition):
    for _ in range(600):
        if await condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not come to pass")


async def working(home, story):
    """Run the story beside a worker."""
    running = asyncio.ensure_future(home.worker().run())
    try:
        await story
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _open(home, *viewers):
    for viewer in viewers:
        await home.inboxes.begin(viewer, "t", 60_000)
        await home.inboxes.fill(viewer, "t", b"note", {}, 100, 60_000)


def test_what_is_published_reaches_inboxes_and_those_who_listen(tmp_path):
    home = Home(tmp_path)

    async def story():
        await _open(home, "u0", "u1")
        for viewer in ("u0", "u2"):
            await home.relate(Follow, viewer, "a0")
        await until(lambda: _is(home.followers.counts(["a0"]), [2]))
        await home.log.append(VIDEO_PROCESSED, [Message("x", b"\xc1 no event")])  # the registrar puts it aside
        await home.put(VIDEO_PROCESSED, video("v1"), video("v2", visibility="private"), video("v3", author="a1"))
        update = FeedUpdate(recipient_id="u0", video_id="v1", author_id="a0", time_ms=NOW_MS)
        await until(lambda: _has(home.told(), update))
        assert (await home.inboxes.read("u0", 100, 60_000)).videos == [("v1", NOW_MS)]
        assert (await home.inboxes.read("u1", 100, 60_000)).videos == []
        await home.put(VIDEO_PROCESSED, VideoRemoved(event_id="r", viewer_id="a0", time_ms=NOW_MS, video_id="v1"))
        gone = FeedUpdate(recipient_id="u0", video_id="v1", author_id="a0", time_ms=NOW_MS, removed=True)
        await until(lambda: _has(home.told(), gone))

    asyncio.run(working(home, story()))


def test_a_worker_that_starts_again_changes_no_inbox(tmp_path):
    home = Home(tmp_path)

    async def story():
        await _open(home, "u0")
        await home.relate(Follow, "u0", "a0")
        await until(lambda: _is(home.followers.counts(["a0"]), [1]))
        await home.put(VIDEO_PROCESSED, video("v1"), video("v2"))
        await until(lambda: _is(_count(home, "u0"), 2))

    async def again():
        await home.put(VIDEO_PROCESSED, video("v3"))
        await until(lambda: _is(_count(home, "u0"), 3))
        begun = await home.ledger.begun()
        await home.fanout.deliver(0, 1, begun[0], {"v1": 1, "v2": 1, "v3": 1})
        assert await _count(home, "u0") == 3

    async def both():
        await working(home, story())
        epoch = (await home.ledger.rules([])).epoch
        await working(home, again())
        assert (await home.ledger.rules([])).epoch == epoch

    asyncio.run(both())


def test_an_unfollow_counts_and_forgets_the_inbox(tmp_path):
    home = Home(tmp_path)

    async def story():
        await _open(home, "u0", "u1")
        await home.relate(Follow, "u0", "a0")
        await home.relate(Unfollow, "u0", "a0")
        await until(lambda: _is(home.inboxes.read("u0", 100, 60_000), None))
        assert await home.followers.counts(["a0"]) == [0]
        assert await home.inboxes.read("u1", 100, 60_000) is not None

    asyncio.run(working(home, story()))


async def _is(reading, expected):
    return await reading == expected


async def _has(reading, expected):
    return expected in await reading


async def _count(home, viewer):
    return len((await home.inboxes.read(viewer, 100, 60_000)).videos)
