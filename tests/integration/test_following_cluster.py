"""The roles of fan-out and a reader on real servers: a video goes through Kafka, PostgreSQL and Redis to a page."""

import asyncio
import time

import pytest

from core.clock import system_clock
from core.errors import Unavailable
from core.events import Follow, Unfollow, VideoPublished, encode
from core.log import Message
from core.settings import Settings
from core.topics import FEED_UPDATE, USER_INTERACTION, VIDEO_PROCESSED, FeedUpdate, decode_message
from foryou.cluster import initialise, open_cluster
from foryou.cluster_fanout import following_inbox
from foryou.cluster_work import worker_of
from tests.integration import servers
from tests.integration.trained_cluster import databases_of

ROLES = ("catalogue", "relations", "fanout", "unfollows", "active")


@pytest.fixture
def settings(tmp_path):
    with databases_of(servers.require("kafka", "cassandra", "redis", "postgres")) as a:
        prefix = servers.unique("following")
        made = Settings(
            home=tmp_path / "home", backends="cluster", kafka=a.kafka, cassandra=a.cassandra, redis=a.redis,
            postgres=a.postgres, cassandra_keyspace=prefix, kafka_prefix=f"{prefix}.", redis_prefix=f"{prefix}:",
            request_deadline_ms=20_000,
        )  # fmt: skip
        initialise(made)
        yield made


async def until(true, what):
    """Wait for it; a server that is late on a busy machine is asked again."""
    end = time.monotonic() + 60
    while not await _answered(true):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)


async def _answered(true):
    try:
        return await true()
    except Unavailable:
        return False


async def lived(settings):
    """What a follower's page held, by which way, after each thing that happened."""
    cluster, ways, tasks = await open_cluster(settings, system_clock), [], set()
    working = asyncio.ensure_future(worker_of(cluster, ROLES).run())
    await asyncio.sleep(0)

    def later(work):
        tasks.add(asyncio.ensure_future(work))

    async def say(kind, **fields):
        now_ms = system_clock()
        event = kind(event_id=f"e{now_ms}{kind.__name__}", time_ms=now_ms, **fields)
        topic = VIDEO_PROCESSED if kind is VideoPublished else USER_INTERACTION
        await cluster.messages.append(topic, [Message(getattr(event, "video_id", event.viewer_id), encode(event))])

    async def publish(video):
        place = {"video_id": video, "author_id": "maker", "length_ms": 1_000, "upload_ms": system_clock()}
        await say(VideoPublished, viewer_id="maker", **place)

    try:
        await say(Follow, viewer_id="fan", author_id="maker")
        await until(lambda: _follows(cluster, True), "the follow")
        await publish("m1")

        async def page():
            return [reader.rows.place(row)[1] for row in (await reader.newest("fan", ["maker"], 5, None)).tolist()]

        async def has(*videos):
            return await page() == list(videos)

        await until(lambda: _knows(cluster), "the first video in the catalogue")
        reader = following_inbox(cluster, later, ways.append)
        await until(lambda: has("m1"), "the first video")

        async def by_inbox():
            return await has("m1") and ways[-1] == "inbox"

        await until(by_inbox, "a page through the inbox")
        await publish("m2")
        await until(lambda: has("m2", "m1"), "the second video")
        assert ways[-1] == "inbox"
        update = await _told(cluster)
        await say(Unfollow, viewer_id="fan", author_id="maker")

        async def forgotten():
            return await reader.inboxes.read("fan", 100, 60_000) is None

        await until(forgotten, "the unfollow")
        return update
    finally:
        working.cancel()
        await asyncio.gather(working, *tasks, return_exceptions=True)
        await cluster.close()


async def _follows(cluster, stands):
    return (await cluster.stores().tables.relations("fan")).follows == (("maker",) if stands else ())


async def _knows(cluster):
    return len(cluster.catalogue.table) > 0


async def _told(cluster):
    partitions = len(await cluster.messages.bounds(FEED_UPDATE))
    found = [await cluster.messages.read(FEED_UPDATE, number, 0, 10) for number in range(partitions)]
    return [decode_message(entry.value) for entries in found for entry in entries]


@pytest.mark.slow
def test_a_video_reaches_a_follower_through_their_inbox(settings):
    told = asyncio.run(lived(settings))
    assert {(type(update), update.recipient_id) for update in told} == {(FeedUpdate, "fan")}
    # The first one is pushed too where the page that asked for it made the inbox before the worker came to it.
    assert [update.video_id for update in told] in (["m2"], ["m1", "m2"])
