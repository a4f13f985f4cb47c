"""An import on its way to a cluster: viewers' events go once the catalogue has what they are about."""

import asyncio

import msgspec
import pytest

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from core.errors import Unavailable
from core.events import decode
from core.topics import USER_INTERACTION
from features.stream.worker import registrar
from foryou import pour as pouring
from tests.features.stream.cluster import CONFIG, Cluster
from tests.features.toy_state import watch
from tests.features.worldlet import publications


@pytest.fixture
def cluster(tmp_path):
    return Cluster(tmp_path)


def home_log(folder, name, events):
    log = SqliteEventLog(Database(folder / f"{name}.db", durable=False))
    asyncio.run(log.append(events))
    return log


async def poured(cluster, log, registrar_after_s=0.0):
    """Pour while a registrar runs that begins late."""

    async def work():
        await asyncio.sleep(registrar_after_s)
        await registrar(cluster.log, CONFIG).run()

    working = asyncio.create_task(work())
    try:
        return await pouring.pour(log, cluster.sink, cluster.log, cluster.tables, lambda *told: None)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def stamps(cluster):
    entries = [e for p in range(cluster.partitions) for e in await cluster.log.read(USER_INTERACTION, p, 0, 1_000)]
    return {event.event_id: event.catalogue_offset for event in (decode(entry.value) for entry in entries)}


def test_a_second_import_waits_for_its_own_videos(tmp_path, cluster):
    first, *others = publications()
    asyncio.run(poured(cluster, home_log(tmp_path, "one", others)))
    new = home_log(tmp_path, "two", [first, watch(1, viewer="u1", video=first.video_id)])
    asyncio.run(poured(cluster, new, registrar_after_s=0.5))
    end = asyncio.run(cluster.ends("foryou.catalogue"))[0]
    assert end == len(publications()) and list(asyncio.run(stamps(cluster)).values()) == [end]


def test_a_video_that_can_never_be_used_does_not_hold_the_rest_up(tmp_path, cluster):
    good, *others = publications()
    bad = [msgspec.structs.replace(video, length_ms=2**40) for video in others]
    assert asyncio.run(poured(cluster, home_log(tmp_path, "one", [good, *bad, watch(1, video=good.video_id)])))
    assert list(asyncio.run(stamps(cluster)).values()) == [1]


def test_without_a_worker_it_says_what_is_missing(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(pouring, "_WAIT_S", 0.3)
    log = home_log(tmp_path, "one", publications())
    with pytest.raises(Unavailable, match=r"video.processed \[0\] up to 0 of .*foryou work features"):
        asyncio.run(poured(cluster, log, registrar_after_s=60))
