"""The archive holds every message of the log once it is read, whoever was killed, and gives them back as one stream."""

import asyncio
import re
from contextlib import suppress

import numpy as np
import pyarrow.parquet as pq
import pytest

from backends.blob_folder import FolderBlobStore
from core.errors import CorruptData, StorageFull
from core.events import encode
from core.log import Bounds
from core.topics import COUNTS, USER_INTERACTION, WEEK_MS
from features.archive.layout import HOUR_MS, SLACK_MS, Piece, covering, piece_of
from features.archive.pieces import ArchiveConfig
from features.archive.reader import ArchivedLog
from features.archive.shredded import MARKS, shred
from features.archive.writer import Archiver
from tests.contracts.events import like, watch
from tests.features.toy_messages import ToyLog

START = 1_767_225_600_000  # 2026-01-01T00:00Z
TOPIC = USER_INTERACTION


class Failing:
    """A BlobStore whose puts fail while told to, before or after the object is durable."""

    def __init__(self, blobs):
        self._blobs, self.before, self.after = blobs, 0, 0
        self.get, self.list, self.delete = blobs.get, blobs.list, blobs.delete

    async def put(self, key, value):
        if self.before:
            self.before -= 1
            raise StorageFull("No space is left.")
        await self._blobs.put(key, value)
        if self.after:
            self.after -= 1
            raise StorageFull("It broke after all.")


@pytest.fixture
def blobs(tmp_path):
    return FolderBlobStore(tmp_path / "blobs")


@pytest.fixture
def log():
    log = ToyLog()
    log.now = START
    return log


def archiver(log, blobs, topics=(TOPIC,), said=None, **config):
    return Archiver(
        log, blobs, lambda: log.now, ArchiveConfig(**config), topics, (said if said is not None else []).append
    )


def fill(log, count, step_ms=60_000, topic=TOPIC, viewers=5):
    """`count` events, `step_ms` apart, of a few viewers."""
    for _ in range(count):
        number = log._next[topic, 0] + log._next[topic, 1]
        viewer = f"u{number % viewers}"
        log.put(topic, number % 2, viewer, encode(like(number, viewer)))
        log.now += step_ms


async def drain(worker):
    while await worker.step():
        pass


def run(log, blobs, **options):
    """An archiver from the committed offsets to the end of the log, closed in order."""

    async def work():
        worker = archiver(log, blobs, **options)
        await drain(worker)
        await worker.close()
        return worker

    return asyncio.run(work())


def keys(blobs, topic=TOPIC):
    return asyncio.run(blobs.list(f"archive/{topic}/"))


def read_all(blobs, log, topic=TOPIC, limit=7, partitions=2):
    async def work():
        archived, found = ArchivedLog(blobs, log, topic), []
        for partition in range(partitions):
            after = 0
            while entries := await archived.read(partition, after, limit):
                assert len(entries) <= limit
                found += entries
                after = entries[-1].offset
        return found

    return asyncio.run(work())


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


def test_the_archive_of_another_log_is_refused(log, blobs):
    fill(log, 30)
    run(log, blobs)
    other = ToyLog()
    other.put(TOPIC, 0, "u", b"")
    other.put(TOPIC, 1, "u", b"")
    with pytest.raises(CorruptData, match=r"up to offset 15 and the log ends at 1: it is the archive of another log"):
        run(other, blobs)
    with pytest.raises(CorruptData, match="archive of another log"):
        asyncio.run(ArchivedLog(blobs, other, TOPIC).bounds())


def test_the_fewest_objects_that_hold_everything_are_read():
    def piece(first, last):
        return Piece(TOPIC, 0, first, last, START)

    assert covering([piece(1, 5), piece(1, 9), piece(3, 6), piece(8, 20), piece(10, 12), piece(21, 30)]) == [
        piece(1, 9), piece(8, 20), piece(21, 30),
    ]  # fmt: skip
    assert covering([piece(1, 5), piece(4, 8), piece(6, 12)]) == [piece(1, 5), piece(6, 12)]


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


def test_a_hole_is_said_in_a_sentence_and_never_passed_over(log, blobs):
    fill(log, 20)
    run(log, blobs)
    fill(log, 20)
    log.forget(TOPIC, 0, 13)
    with pytest.raises(CorruptData, match=r"Offsets 11 to 13 of user\.interaction partition 0 are neither in the"):
        read_all(blobs, log)
    fill(log, 20)
    run(log, blobs)  # what is left of it
    log.forget(TOPIC, 0, 30)
    with pytest.raises(CorruptData, match="Offsets 11 to 13 of"):
        read_all(blobs, log)

    async def accept():
        told = []
        archived = ArchivedLog(blobs, log, TOPIC, on_hole=told.append)
        return [e.offset for e in await archived.read(0, 5, 100)], await archived.read(0, 10, 100), told

    first, beyond, told = asyncio.run(accept())
    assert first == [6, 7, 8, 9, 10] and [e.offset for e in beyond][:2] == [14, 15] and "11 to 13" in told[0]


def test_a_log_that_forgot_its_beginning_before_it_was_archived_is_a_hole(log, blobs):
    fill(log, 20)
    log.forget(TOPIC, 1, 10)
    with pytest.raises(CorruptData, match=r"Offsets 1 to 10 of user\.interaction partition 1"):
        read_all(blobs, log)


def test_what_is_archived_while_it_is_read_is_no_hole(log, blobs):
    fill(log, 20)

    async def work():
        archived = ArchivedLog(blobs, log, TOPIC)
        assert len(await archived.read(0, 0, 5)) == 5
        worker = archiver(log, blobs)
        await drain(worker)
        await worker.close()
        log.forget(TOPIC, 0, 10)
        return [e.offset for e in await archived.read(0, 5, 100)]

    assert asyncio.run(work()) == [6, 7, 8, 9, 10]


def test_bounds_are_those_of_both_together(log, blobs):
    archived = ArchivedLog(blobs, log, TOPIC)
    assert asyncio.run(archived.bounds()) == [Bounds(1, 0), Bounds(1, 0)]
    fill(log, 20)
    run(log, blobs)
    log.forget(TOPIC, 0, 10)
    log.forget(TOPIC, 1, 4)
    log.put(TOPIC, 1, "u", b"")
    assert asyncio.run(archived.bounds()) == [Bounds(1, 10), Bounds(1, 11)]
    assert asyncio.run(ArchivedLog(blobs, None, TOPIC).bounds()) == [Bounds(1, 10), Bounds(1, 10)]


def test_the_archive_alone_can_be_read(log, blobs):
    fill(log, 20)
    run(log, blobs)
    assert read_all(blobs, None) == log.everything(TOPIC)


def test_a_damaged_object_is_said_with_its_name_and_never_read_as_something_else(log, blobs):
    fill(log, 2_000, step_ms=10)
    run(log, blobs)
    wanted, key = log.everything(TOPIC), keys(blobs)[0]
    whole, refused = asyncio.run(blobs.get(key)), 0
    for at in range(0, len(whole), len(whole) // 60):
        raw = bytearray(whole)
        raw[at] ^= 0xFF
        asyncio.run(blobs.put(key, bytes(raw)))
        try:
            found = read_all(blobs, log, limit=2_000)
        except CorruptData as error:
            refused += 1
            assert re.match(rf"The archive's object {key} is damaged \(.*\); restore it from a copy", error.sentence)
        else:  # damage in a column that only an audit reads
            assert found == wanted
    assert refused > 10


def test_an_object_under_another_objects_name_is_damaged(log, blobs):
    fill(log, 40)
    run(log, blobs)
    first, second = keys(blobs)
    asyncio.run(blobs.put(first, asyncio.run(blobs.get(first))[:100]))
    with pytest.raises(CorruptData, match="damaged"):
        read_all(blobs, log)
    asyncio.run(blobs.put(first, asyncio.run(blobs.get(second))))
    asyncio.run(blobs.put(first.replace("020.parquet", "025.parquet"), asyncio.run(blobs.get(second))))
    with pytest.raises(CorruptData, match="20 rows that do not fit its name"):
        read_all(blobs, log)


def test_a_foreign_object_in_the_archive_is_named(blobs, log):
    asyncio.run(blobs.put(f"archive/{TOPIC}/notes.txt", b""))
    with pytest.raises(CorruptData, match=r"notes\.txt does not belong into the archive"):
        read_all(blobs, log)


class TestShredding:
    """A viewer who is deleted is gone from archive and stream; the offsets stay as holes."""

    def test_the_rows_are_gone_from_objects_and_from_what_the_broker_still_has(self, log, blobs, tmp_path):
        fill(log, 40)
        run(log, blobs)
        fill(log, 40)
        wanted = [e for e in log.everything(TOPIC) if e.key != "u3"]
        assert asyncio.run(shred("u3", blobs, log, (TOPIC,))) == 8
        assert read_all(blobs, log) == wanted
        for path in (tmp_path / "blobs" / "archive").rglob("*.parquet"):
            assert "u3" not in pq.read_table(path, partitioning=None)["key"].to_pylist()
        run(log, blobs)
        for partition in (0, 1):
            log.forget(TOPIC, partition, 10**6)
        assert read_all(blobs, log) == wanted
        assert b"u3" not in b"".join(path.read_bytes() for path in (tmp_path / "blobs").rglob("*.json"))

    def test_objects_keep_their_names_and_others_are_not_touched(self, log, blobs):
        fill(log, 20, viewers=2)  # each has a partition of its own
        run(log, blobs)
        before = {key: asyncio.run(blobs.get(key)) for key in keys(blobs)}
        asyncio.run(shred("u1", blobs, log, (TOPIC,)))
        after = {key: asyncio.run(blobs.get(key)) for key in keys(blobs)}
        assert list(after) == list(before) and sum(before[key] == after[key] for key in before) == 1
        assert {e.key for e in read_all(blobs, log)} == {"u0"}

    def test_a_redelivery_after_the_deletion_brings_nothing_back(self, log, blobs):
        fill(log, 40)
        run(log, blobs)
        asyncio.run(shred("u3", blobs, log, (TOPIC,)))
        objects = {key: asyncio.run(blobs.get(key)) for key in keys(blobs)}
        log.committed.clear()
        run(log, blobs)
        assert {key: asyncio.run(blobs.get(key)) for key in keys(blobs)} == objects

    def test_a_deletion_while_an_object_is_being_written_reaches_it(self, log, blobs):
        fill(log, 40)

        class Meanwhile(Failing):
            async def put(self, key, value):
                if key.startswith("archive/") and not await blobs.list(MARKS):
                    await shred("u3", blobs, log, (TOPIC,))
                await super().put(key, value)

        run(log, Meanwhile(blobs))
        for partition in (0, 1):
            log.forget(TOPIC, partition, 10**6)
        assert {e.key for e in read_all(blobs, None)} == {"u0", "u1", "u2", "u4"}

    def test_what_the_viewer_does_afterwards_is_kept_and_can_be_deleted_again(self, log, blobs):
        fill(log, 10)
        asyncio.run(shred("u3", blobs, log, (TOPIC,)))
        log.put(TOPIC, 1, "u3", b"new")
        run(log, blobs)
        assert [e.value for e in read_all(blobs, log) if e.key == "u3"] == [b"new"]
        asyncio.run(shred("u3", blobs, log, (TOPIC,)))
        assert [e for e in read_all(blobs, log) if e.key == "u3"] == []

    def test_a_damaged_mark_is_said(self, log, blobs):
        asyncio.run(blobs.put(f"{MARKS}x.json", b"{"))
        with pytest.raises(CorruptData, match=r"mark shredded/x\.json of a deleted viewer"):
            read_all(blobs, log)


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
