"""Archive and log are one stream: no hole is passed over, no damage is read, and a deleted viewer is gone."""

import asyncio
import re

import pyarrow.parquet as pq
import pytest

from backends.blob_folder import FolderBlobStore
from core.errors import CorruptData
from core.log import Bounds
from features.archive.layout import Piece, covering
from features.archive.reader import ArchivedLog
from features.archive.shredded import MARKS, shred
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


def test_the_fewest_objects_that_hold_everything_are_read():
    def piece(first, last):
        return Piece(TOPIC, 0, first, last, START)

    assert covering([piece(1, 5), piece(1, 9), piece(3, 6), piece(8, 20), piece(10, 12), piece(21, 30)]) == [
        piece(1, 9), piece(8, 20), piece(21, 30),
    ]  # fmt: skip
    assert covering([piece(1, 5), piece(4, 8), piece(6, 12)]) == [piece(1, 5), piece(6, 12)]


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
