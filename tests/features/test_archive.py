"""The archive holds every message of the log once it is read, whoever was killed, and gives them back as one stream."""

import asyncio
from contextlib import suppress

import numpy as np
import pyarrow.parquet as pq
import pytest

from backends.blob_folder import FolderBlobStore
from core.errors import StorageFull
from core.events import encode
from core.topics import COUNTS, WEEK_MS
from features.archive.layout import HOUR_MS, SLACK_MS, piece_of
from tests.contracts.events import watch
from tests.features.archives import START, TOPIC, Failing, archiver, drain, fill, keys, read_all, run
from tests.features.toy_messages import ToyLog


@pytest.fixture
def blobs(tmp_path):
    return FolderBlobStore(tmp_path / "blobs")


@pytest.fixture
def log():
    log = ToyLog()
    log.now = START
    return log


def test_an_object_is_named_by_topic_hour_partition_and_offsets(log, blobs):
    fill(log, 150)
    run(log, blobs)
    assert keys(blobs) == [
        f"archive/user.interaction/day=2026-01-01/hour={hour}/{partition}-{first:015d}-{last:015d}.parquet"
        for hour, partition, first, last in [
            ("00", "0000", 1, 30), ("00", "0001", 1, 30), ("01", "0000", 31, 60), ("01", "0001", 31, 60),
            ("02", "0000", 61, 75), ("02", "0001", 61, 75),
        ]
    ]  # fmt: skip
    assert [piece_of(key).key for key in keys(blobs)] == keys(blobs)


def test_every_message_comes_back_as_it_was_also_when_the_broker_has_forgotten_it(log, blobs):
    fill(log, 150)
    wanted = log.everything(TOPIC)
    run(log, blobs)
    for partition in (0, 1):
        log.forget(TOPIC, partition, 60)
    fill(log, 20)
    fresh = [e for e in log.everything(TOPIC) if e.offset > 75]
    assert read_all(blobs, log) == sorted([*wanted, *fresh], key=lambda e: (e.partition, e.offset))


def test_events_are_columns_of_their_own_for_audit(log, blobs, tmp_path):
    log.put(TOPIC, 0, "ann", encode(watch(3, "ann")))
    log.put(TOPIC, 0, "bo", b"\xffnot an event")
    run(log, blobs)
    table = pq.read_table(tmp_path / "blobs" / keys(blobs)[0], partitioning=None)
    assert table.drop(["value"]).to_pylist() == [
        {"partition": 0, "offset": 1, "time_ms": START, "key": "ann", "readable": True, "event_id": "watch-3",
         "kind": "watch", "viewer_id": "ann", "event_ms": watch(3).time_ms},
        {"partition": 0, "offset": 2, "time_ms": START, "key": "bo", "readable": False, "event_id": None,
         "kind": None, "viewer_id": None, "event_ms": None},
    ]  # fmt: skip
    assert table["value"][1].as_py() == b"\xffnot an event"
    assert table.schema.field("kind").type.value_type == "string"


def test_messages_that_are_no_events_are_archived_with_their_bytes(log, blobs):
    log.put(COUNTS, 1, "1", b"\x00\x01")
    run(log, blobs, topics=(COUNTS,))
    log.forget(COUNTS, 1, 1)
    assert [(e.key, e.value) for e in read_all(blobs, log, COUNTS)] == [("1", b"\x00\x01")]


def test_an_hour_is_written_when_it_is_over_and_not_before(log, blobs):
    async def work():
        worker = archiver(log, blobs)
        fill(log, 40)  # until 00:40
        await drain(worker)
        assert await blobs.list("") == [] and log.committed["archive", TOPIC, 0] == 0
        log.now = START + HOUR_MS + SLACK_MS - 1
        await worker.step()
        assert await blobs.list("") == []
        log.now += 1
        await worker.step()
        assert len(await blobs.list("")) == 2 and log.committed["archive", TOPIC, 0] == 20

    asyncio.run(work())


def test_reading_an_old_log_does_not_make_an_object_of_every_page(log, blobs):
    fill(log, 600)  # ten hours, long over for an archiver that reads 10 messages at once
    run(log, blobs, poll_limit=10)
    assert len(keys(blobs)) == 20


def test_memory_is_bounded_and_the_largest_go_first(log, blobs):
    async def work():
        worker = archiver(log, blobs, most_bytes=20_000, poll_limit=20)
        fill(log, 400, step_ms=1_000)
        held = []
        while await worker.step():
            held.append(worker.figures.held_bytes)
        assert max(held) <= 20_000 < sum(held) and len(await blobs.list("")) > 4

    asyncio.run(work())
    assert read_all(blobs, log) == log.everything(TOPIC)


def test_one_object_has_a_bound_of_its_own(log, blobs):
    fill(log, 50, step_ms=10)
    run(log, blobs, most_object_rows=10)
    assert [piece_of(key).last - piece_of(key).first + 1 for key in keys(blobs)] == [10, 10, 5] * 2


def test_a_clock_that_differs_a_little_tears_no_hour_and_one_that_jumps_back_begins_another(log, blobs):
    for minute in (58, 59, 60, 59, 61, 59):
        log.put(TOPIC, 0, "u", b"", START + minute * 60_000)
    log.put(TOPIC, 0, "u", b"", START + 10 * 60_000)
    run(log, blobs)
    found = sorted((piece_of(key).first, piece_of(key).last) for key in keys(blobs))
    assert found == [(1, 2), (3, 6), (7, 7)]
    assert read_all(blobs, log) == log.everything(TOPIC)


def test_a_crash_between_put_and_commit_gives_the_same_object_again(log, blobs):
    fill(log, 30)
    failing = Failing(blobs)
    failing.after = 1

    async def killed():
        worker = archiver(log, failing)
        await drain(worker)
        with pytest.raises(StorageFull):
            await worker.flush()

    asyncio.run(killed())
    assert len(keys(blobs)) == 1 and log.committed["archive", TOPIC, 0] == 0
    before = asyncio.run(blobs.get(keys(blobs)[0]))
    run(log, blobs)
    assert len(keys(blobs)) == 2 and asyncio.run(blobs.get(keys(blobs)[0])) == before
    assert log.committed["archive", TOPIC, 0] == 15 and read_all(blobs, log) == log.everything(TOPIC)


def test_objects_of_a_member_that_lost_its_partitions_overlap_and_are_read_once(log, blobs):
    async def work():
        fill(log, 30)
        first, second, third = (archiver(log, blobs) for _ in range(3))
        await drain(first)
        fill(log, 10)
        await drain(second)
        fill(log, 10)
        await drain(third)
        for worker in (third, first, second):
            await worker.flush()

    asyncio.run(work())
    assert [(piece_of(key).first, piece_of(key).last) for key in keys(blobs)] == [(1, 15), (1, 20), (1, 25)] * 2
    run(log, blobs)
    assert len(keys(blobs)) == 6
    wanted = log.everything(TOPIC)
    for partition in (0, 1):
        log.forget(TOPIC, partition, 20)
    assert read_all(blobs, log) == wanted


def test_an_archiver_goes_on_where_the_archive_ends_whatever_was_committed(log, blobs):
    fill(log, 30)
    run(log, blobs)
    log.committed.clear()
    fill(log, 10)
    run(log, blobs)
    assert [piece_of(key).first for key in keys(blobs)] == [1, 16, 1, 16]
    assert log.committed["archive", TOPIC, 0] == 20
    asyncio.run(blobs.delete(keys(blobs)[:1]))  # the log can still fill this
    run(log, blobs)
    assert read_all(blobs, None) == log.everything(TOPIC)


def test_what_the_broker_forgot_too_early_is_said_and_the_rest_is_archived(log, blobs):
    said = []

    async def work():
        worker = archiver(log, blobs, said=said)
        fill(log, 20)
        await drain(worker)
        await worker.flush()
        fill(log, 20)
        log.forget(TOPIC, 0, 13)
        for _ in range(3):
            await worker.step()
        await worker.close()

    asyncio.run(work())
    assert len(said) == 1 and said[0].startswith("Offsets 11 to 13 of user.interaction partition 0 are neither in")
    assert log.committed["archive", TOPIC, 0] == 20


def test_a_store_that_is_full_loses_nothing_and_stops_reading_at_the_bound(log, blobs):
    failing, said = Failing(blobs), []
    failing.before = 10**9
    fill(log, 300, step_ms=100)

    async def work():
        worker = archiver(log, failing, said=said, most_bytes=10_000, retry_ms=1, poll_limit=10)
        task = asyncio.create_task(worker.run())
        await asyncio.sleep(0.1)
        assert worker.figures.failed_writes > 1 and worker._pieces.held_bytes < 20_000
        failing.before = 0
        while log.committed["archive", TOPIC, 0] < 100:  # the rest waits for its hour
            await asyncio.sleep(0.01)
        fill(log, 10)
        await asyncio.sleep(0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert log.committed["archive", TOPIC, 0] == 155

    asyncio.run(asyncio.wait_for(work(), 20))
    assert said[0] == "No space is left." and read_all(blobs, log) == log.everything(TOPIC)


def test_partitions_that_go_are_written_first_and_delivered_to_the_next_owner_where_that_fails(log, blobs):
    failing = Failing(blobs)

    async def work():
        worker = archiver(log, failing)
        fill(log, 20)
        await drain(worker)
        await worker.revoked(TOPIC, frozenset({0}))
        assert (log.committed["archive", TOPIC, 0], log.committed["archive", TOPIC, 1]) == (10, 0)
        failing.before = 1
        await worker.revoked(TOPIC, frozenset({1}))
        assert log.committed["archive", TOPIC, 1] == 0 and worker._pieces.held_bytes == 0

    asyncio.run(work())
    run(log, blobs)
    assert read_all(blobs, log) == log.everything(TOPIC)


def test_it_says_when_the_broker_may_forget_what_is_not_archived(log, blobs):
    said = []

    async def work():
        worker = archiver(log, blobs, said=said)
        log.put(TOPIC, 0, "u", b"")
        log.now = START + WEEK_MS // 2
        await worker.step()
        assert said == [] and worker.figures.oldest_share == 0.5
        log.put(TOPIC, 0, "u", b"", START)
        log.now += 2
        await worker.step()

    asyncio.run(work())
    assert said == [
        "The archive is behind: offset 1 of user.interaction partition 0 is 84 h old and the broker keeps it for"
        " 168 h; start more archivers, or look why their writes fail."
    ]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_every_message_is_read_once_in_order(tmp_path, seed):
    """Random appends, polls, kills, failed writes, forgetting, clocks: what is read is what was appended."""
    rng = np.random.default_rng(seed)
    blobs, log = FolderBlobStore(tmp_path), ToyLog()
    failing, log.now = Failing(blobs), START
    wanted = {0: [], 1: []}

    async def work():
        worker = archiver(log, failing, most_bytes=30_000, most_object_rows=40, quiet_ms=0, poll_limit=17)
        for _ in range(150):
            action = rng.integers(8)
            log.now += int(rng.integers(0, 900_000))
            if action <= 2:
                for _ in range(int(rng.integers(1, 30))):
                    n = int(rng.integers(2))
                    at = log.now - int(rng.integers(0, 400_000))
                    log.put(TOPIC, n, f"u{rng.integers(9)}", bytes(rng.bytes(int(rng.integers(0, 80)))), at)
                    wanted[n].append((await log.read(TOPIC, n, len(wanted[n]), 1))[0])
            elif action == 3:  # killed
                worker = archiver(log, failing, most_bytes=30_000, most_object_rows=40, quiet_ms=0, poll_limit=17)
            elif action == 4:
                failing.before, failing.after = int(rng.integers(2)), int(rng.integers(2))
            elif action == 5:
                for n in (0, 1):
                    log.forget(TOPIC, n, log.committed["archive", TOPIC, n])
            with suppress(StorageFull):
                await (worker.flush() if action == 6 else worker.step())

    asyncio.run(work())
    assert read_all(blobs, log, limit=int(rng.integers(1, 50))) == wanted[0] + wanted[1]
