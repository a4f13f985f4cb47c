"""What others put on the topics and into Redis, a Redis that takes nothing, a clock that is put back: on a cluster that
runs, nothing good is lost and every page is answered."""

import asyncio
import shutil
import sqlite3
import time
from contextlib import closing, contextmanager

import msgspec
import numpy as np
import pytest

from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from core.clock import system_clock
from core.events import Like, VideoPublished, Watch, encode
from core.log import Message, partition_of
from core.sparse import whole
from core.topics import COUNTS, USER_INTERACTION, VIDEO_PROCESSED, dead_letters
from features.stream.messages import COUNT_ROW, CountsBatch, encode_batch
from foryou.bootstrap import open_product
from foryou.cluster import open_cluster
from tests.integration import servers
from tests.integration.refused import Commands
from tests.integration.small_cluster import small_cluster, until
from tests.trained_home import trained_home_of_the_run

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    bundles = trained_home_of_the_run(tmp_path_factory) / "bundles"
    with small_cluster(tmp_path_factory.mktemp("faults"), bundles) as running:
        yield running


def on_the_log(cluster, work):
    """What `work` gives, with the cluster's log."""

    async def run():
        log = await KafkaMessageLog.open(cluster.configured())
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(run())


def rejected(cluster, topic):
    """The dead letters of a topic: value and reason."""

    async def read(log):
        return [(entry.value, entry.headers["reason"]) for entry in await log.read(dead_letters(topic), 0, 0, 1_000)]

    return on_the_log(cluster, read)


# ------------------------------------------------------------------------------------------ poison


def test_events_that_cannot_be_read_are_set_aside_with_their_reason_and_the_partition_goes_on(cluster):
    now_ms = system_clock()
    later = Like(event_id="from-the-future", viewer_id="poisoned", video_id="v1", time_ms=now_ms, schema=99)
    far = Like(event_id="far", viewer_id="poisoned", video_id="v1", time_ms=now_ms, catalogue_offset=10**9)
    published = VideoPublished(
        event_id="p", viewer_id="a", video_id="v1", author_id="a", length_ms=1_000, upload_ms=now_ms, time_ms=now_ms
    )
    values = [b"", b"\xff not ours", encode(later), encode(far), encode(published)]
    on_the_log(cluster, lambda log: log.append(USER_INTERACTION, [Message("poisoned", raw) for raw in values]))
    cluster.post("poisoned", [cluster.event(), cluster.event()])
    until(lambda: cluster.watched("poisoned") == 2, "the events behind the poison")
    until(lambda: {raw for raw, _ in rejected(cluster, USER_INTERACTION)} >= set(values), "the dead letters")
    reasons = {reason for raw, reason in rejected(cluster, USER_INTERACTION) if raw == encode(later)}
    assert reasons == {"Event from-the-future has schema 99 and this build reads up to 1; upgrade."}
    cluster.sound()


def test_poison_among_the_videos_hides_none_of_them(cluster):
    now_ms = system_clock()
    good = VideoPublished(
        event_id=servers.unique("e"), viewer_id="u1", video_id="behind-poison", author_id="u1", length_ms=9_000,
        upload_ms=now_ms, time_ms=now_ms,
    )  # fmt: skip
    odd = msgspec.structs.replace(good, event_id="odd", video_id="odd", length_ms=2**40)
    values = [
        b"\xc1",
        encode(odd),
        encode(Watch(event_id="w", viewer_id="u", video_id="v1", time_ms=1, play_ms=1, length_ms=1)),
    ]
    messages = [Message("behind-poison", raw) for raw in [*values, encode(good)]]
    on_the_log(cluster, lambda log: log.append(VIDEO_PROCESSED, messages))
    until(lambda: {raw for raw, _ in rejected(cluster, VIDEO_PROCESSED)} >= set(values), "the dead letters")
    until(lambda: cluster.catalogue().row("behind-poison") >= 0, "the video behind the poison")
    assert cluster.catalogue().row("odd") < 0
    cluster.sound()


def test_counts_of_what_does_not_exist_are_set_aside_and_the_others_are_counted(cluster):
    def batch(catalogue_offset=1, source=0, **fields):
        rows = np.zeros(1, COUNT_ROW)
        for name in ("video", "author", "trend"):
            rows[name] = fields.get(name, -1)
        return encode_batch(CountsBatch.of(source, catalogue_offset, 1, rows))

    good = batch()
    values = [
        b"\x00\x01", good[:-3], batch(catalogue_offset=10**9), batch(video=2**31 - 1), batch(author=10**6),
        batch(trend=10**8), batch(video=-5), batch(source=-1),
    ]  # fmt: skip

    async def poison(log):
        for partition in range(len(await log.bounds(COUNTS))):
            await log.append(COUNTS, [Message("x", raw, partition) for raw in values])

    on_the_log(cluster, poison)
    until(lambda: {raw for raw, _ in rejected(cluster, COUNTS)} >= set(values), "the dead letters")
    before = likes(cluster, "v7")
    cluster.post("counting", [cluster.event("like", video_id="v7")])
    until(lambda: likes(cluster, "v7") == before + 1, "the counts behind the poison")
    cluster.sound()


def likes(cluster, video):
    """The likes of a video as they are served."""
    from backends.redis.keys import row_keys
    from features.layout import COUNTS_DTYPE, TOTALS
    from features.packed import record_of

    [raw] = whole([cluster.redis.get(f"{cluster.prefix}:{row_keys('video', [video])[0]}")])
    return 0 if raw is None else int(record_of(raw, COUNTS_DTYPE)["totals"][0][TOTALS.index("likes")])


# ------------------------------------------------------------------------------------------ Redis


@pytest.mark.parametrize("damage", ["flipped", "short", "older"])
def test_a_viewers_row_that_cannot_be_read_costs_the_page_its_features_until_the_next_event(cluster, damage):
    viewer = f"damaged-{damage}"
    cluster.post(viewer, [cluster.event()])
    until(lambda: cluster.watched(viewer) == 1, "the first row")
    assert "features" not in cluster.feed(viewer)["degraded"]
    raw = bytearray(cluster.redis.get(cluster.row_key(viewer)))
    if damage == "older":  # its schema's hash stands first, once it is whole
        raw = bytearray(whole([bytes(raw)])[0])
        raw[0] ^= 1
    else:
        raw[200] ^= 1
    cluster.redis.set(cluster.row_key(viewer), bytes(raw[:100] if damage == "short" else raw))
    before = cluster.metric('foryou_degraded_total{part="features"}')
    page = cluster.feed(viewer)
    assert "features" in page["degraded"] and page["videos"]
    assert cluster.metric('foryou_degraded_total{part="features"}') == before + 1
    cluster.post(viewer, [cluster.event()])
    until(lambda: "features" not in cluster.feed(viewer)["degraded"], "the row to be written again")
    assert cluster.watched(viewer) == 2
    cluster.sound()


def test_nonsense_in_the_cache_is_passed_over(cluster):
    viewer = servers.unique("cached")
    first, pattern = cluster.feed(viewer), f"*{{{viewer}}}*"
    until(lambda: len(list(cluster.redis.scan_iter(pattern))) >= 2, "what a page leaves in the cache")
    for key in cluster.redis.scan_iter(pattern):
        if cluster.redis.type(key) == b"string":
            cluster.redis.set(key, b"\xc1 nonsense")
        else:
            cluster.redis.zadd(key, {b"\xff nonsense": 2.0**50})
    again = cluster.feed(viewer)
    assert again["videos"] and first["slate_id"] != again["slate_id"] and not again["degraded"]
    cluster.post(viewer, [cluster.event("impression", video_id=v["video_id"], slate_id=again["slate_id"])
                            for v in again["videos"][:2]])  # fmt: skip
    cluster.sound()


@pytest.mark.parametrize(
    ("broken", "mended", "said"),
    [
        (("CONFIG", "SET", "maxmemory", "1mb"), ("CONFIG", "SET", "maxmemory", "0"), "is full"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "is a read-only replica"),
    ],
    ids=["full", "read-only"],
)
def test_a_redis_that_takes_nothing_delays_rows_and_loses_none(cluster, broken, mended, said):
    viewer = f"waiting-{said.split()[1]}"
    cluster.post(viewer, [cluster.event()])
    until(lambda: cluster.watched(viewer) == 1, "the row")
    cluster.redis.execute_command(*broken)
    try:
        cluster.post(viewer, [cluster.event() for _ in range(5)])
        until(lambda: said in cluster.programs["worker"].tail(), "the worker to say so")
        cluster.post(viewer, [cluster.event() for _ in range(5)])
        assert cluster.feed(viewer)["videos"]
        assert cluster.watched(viewer) == 1
    finally:
        cluster.redis.execute_command(*mended)
    until(lambda: cluster.watched(viewer) == 11, "the worker to catch up")
    cluster.sound()


# ------------------------------------------------------------------------------------------ homes, ends, clocks


def test_a_home_of_another_log_is_refused_and_left_as_it_is(cluster, tmp_path, capsys, monkeypatch):
    home, prefix = tmp_path / "home", servers.unique("other") + "."
    home.mkdir()
    with (
        closing(sqlite3.connect(cluster.home / "catalogue.db")) as kept,
        closing(sqlite3.connect(home / "catalogue.db")) as to,
    ):
        kept.backup(to)
    shutil.copytree(cluster.home / "bundles", home / "bundles")
    asyncio.run(ensure_topics(cluster.configured(kafka_prefix=prefix)))
    foryou = Commands(capsys, monkeypatch, cluster.settings())
    for command in (["work", "features"], ["serve", "--port", "0"]):
        said = foryou(*command, "--home", home, kafka_prefix=prefix)
        lines = said.err.strip().splitlines()
        assert said.code == 4 and "Traceback" not in said.err, said.err
        assert "is of another log" in lines[-1] and "--home" in lines[-1], said.err
    with closing(sqlite3.connect(home / "catalogue.db")) as left:
        assert left.execute("SELECT count(*) FROM videos").fetchone()[0] >= 300


def test_two_workers_of_one_home_share_the_partitions_and_end_when_they_are_told_to(cluster):
    cluster.worker("worker-2")
    names = [servers.unique("shared") for _ in range(64)]
    viewers = list({partition_of(name, 4): name for name in names}.values())
    assert len(viewers) == 4
    for _ in range(3):
        for viewer in viewers:
            cluster.post(viewer, [cluster.event()])
    until(lambda: all(cluster.watched(viewer) == 3 for viewer in viewers), "all partitions to go on")
    cluster.sound()
    for name in ("worker-2", "worker", "replica"):
        began = time.monotonic()
        assert cluster.programs[name].stop() == 0, cluster.programs[name].tail()
        assert time.monotonic() - began < 20
    cluster.programs.pop("worker-2")
    assert "Traceback" not in cluster.programs["replica"].tail() + cluster.programs["worker"].tail()


@contextmanager
def clock_of(offset_ms):
    """A clock that a test may put back."""
    offset = [offset_ms]
    yield (lambda: system_clock() + offset[0]), offset


def test_a_clock_that_is_put_back_loses_no_event_and_breaks_no_session(cluster):
    """The worker and the replica of the cluster are at rest: both run here, by a clock of ours."""
    with clock_of(0) as (clock, offset):
        asyncio.run(_put_back(cluster, clock, offset))


async def _put_back(cluster, clock, offset):
    viewer, settings = "put-back", cluster.configured(replica="clock")
    work, stop = await open_cluster(settings, clock), asyncio.Event()
    working = asyncio.create_task(work.work(["catalogue", "viewers", "counters", "history"], stop, lambda text: None))
    product = await open_product(settings, clock)
    try:
        await product.live.start()
        stamps, before = [], None
        for jump_ms in (0, -HOUR_MS, -HOUR_MS):
            offset[0] += jump_ms
            page = await product.page(viewer, page=None, limit=5, cursor=before.cursor if before else None, device="")
            assert page.videos and "features" not in page.degraded
            if before is not None:
                assert page.slate_id != before.slate_id and page.next_page == before.next_page + 1
            before = page
            events = [
                Watch(event_id=f"{page.slate_id}-{n}", viewer_id=viewer, video_id=page.videos[n].video_id,
                      time_ms=clock(), play_ms=1_000, length_ms=9_000, slate_id=page.slate_id)
                for n in range(3)
            ]  # fmt: skip
            verdicts = await product.intake.accept(viewer, events)
            assert [verdict.status for verdict in verdicts] == ["accepted"] * 3
            await asyncio.to_thread(until, _has(cluster, viewer, 3 * (len(stamps) + 1)), "the row")
            row = cluster.row(viewer)
            stamps.append((int(row["version"][0]), int(row["applied_us"][0])))
        assert stamps == sorted(stamps) and len({at for _, at in stamps}) == len(stamps)
    finally:
        await product.live.stop()
        await product.stores.let_go()
        stop.set()
        await working
        await work.close()


def _has(cluster, viewer, watches):
    return lambda: cluster.watched(viewer) == watches
