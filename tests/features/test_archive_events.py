"""Archive and log as one sequence of events: each once, in one order, whatever the partitions and pages are."""

import asyncio

import numpy as np
import pytest

from backends.blob_folder import FolderBlobStore
from core.events import decode, encode
from core.topics import USER_INTERACTION
from features.archive.events import ArchivedEvents, events
from features.archive.reader import ArchivedLog
from features.archive.shredded import shred
from tests.contracts.events import like
from tests.features.archives import START, run
from tests.features.toy_messages import ToyLog

TOPIC = USER_INTERACTION


@pytest.fixture
def blobs(tmp_path):
    return FolderBlobStore(tmp_path / "blobs")


def random_log(seed, partitions=3, count=400):
    """Some hours in which clocks of partitions go back, events come again, and some cannot be read."""
    rng, log, log_time = np.random.default_rng(seed), ToyLog(partitions), START
    for number in range(count):
        log_time += int(rng.integers(0, 60_000))
        viewer = int(rng.integers(9))
        at = log_time - int(rng.integers(0, 3)) * int(rng.integers(0, 100_000))
        again = int(rng.integers(max(number, 1))) if rng.random() < 0.1 else number
        raw = b"\xc1" if rng.random() < 0.05 else encode(like(again, f"u{viewer}"))
        log.put(TOPIC, viewer % partitions, f"u{viewer}", raw, at)
    return log


def oracle(log, without=None):
    """The one order, slowly: (partition, offset, event) of readable events, the first of each (viewer, id)."""
    as_of, latest, seen, found = [], {}, set(), []
    for entry in log.everything(TOPIC):
        if entry.key == without:
            continue
        latest[entry.partition] = max(latest.get(entry.partition, 0), entry.time_ms)
        as_of.append((latest[entry.partition], entry.partition, entry.offset, entry.value))
    for _, partition, offset, raw in sorted(as_of, key=lambda row: row[:3]):
        if raw != b"\xc1" and raw not in seen:
            found.append((partition, offset, decode(raw)))
        seen.add(raw)
    return found


def read_all(source, limit):
    async def work():
        found, after, end = [], 0, await source.end()
        while after < end:
            records = await source.read(after, limit)
            assert [r.offset for r in records] == list(range(after + 1, after + 1 + len(records)))
            assert records and len(records) <= limit
            found += records
            after += len(records)
        assert await source.read(end, limit) == []
        return found

    return asyncio.run(work())


@pytest.mark.parametrize("seed", range(6))
def test_every_event_has_one_number_in_the_one_order(blobs, seed):
    log = random_log(seed)
    wanted = [(p, e) for p, _, e in oracle(log)]
    run(log, blobs, most_object_rows=23)
    for partition, bounds in enumerate(asyncio.run(log.bounds(TOPIC))):
        log.forget(TOPIC, partition, bounds.last // (1 + partition))
    source = ArchivedEvents(ArchivedLog(blobs, log, TOPIC))
    for limit in (1_000, 7):
        assert [(r.partition, r.event) for r in read_all(source, limit)] == wanted


def test_going_back_begins_anew_and_going_on_skips(blobs):
    log = random_log(1)
    source = ArchivedEvents(ArchivedLog(blobs, log, TOPIC))
    everything = read_all(source, 1_000)
    for after in (100, 150, 20, 0, 333):
        assert asyncio.run(source.read(after, 5)) == everything[after : after + 5]


def test_what_comes_after_the_first_look_is_not_seen(blobs):
    log = random_log(2)
    source = ArchivedEvents(ArchivedLog(blobs, log, TOPIC))
    end = asyncio.run(source.end())
    log.put(TOPIC, 0, "u0", encode(like(10_000, "u0")))
    assert asyncio.run(source.end()) == end == len(read_all(source, 1_000))


def test_an_empty_log_has_no_events(blobs):
    assert read_all(ArchivedEvents(ArchivedLog(blobs, ToyLog(), TOPIC)), 10) == []
    assert read_all(ArchivedEvents(ArchivedLog(blobs, None, TOPIC)), 10) == []


def test_a_deleted_viewer_is_not_in_the_sequence(blobs):
    log = random_log(3)
    run(log, blobs)
    wanted = [e for _, _, e in oracle(log, without="u4")]
    asyncio.run(shred("u4", blobs, log, (TOPIC,)))
    found = read_all(ArchivedEvents(ArchivedLog(blobs, log, TOPIC)), 50)
    assert [r.event for r in found] == wanted


def test_a_range_of_the_logs_time_reads_only_objects_of_its_hours(blobs):
    log = random_log(4)
    run(log, blobs)
    hour = 3_600_000
    wanted = {(e.partition, e.offset) for e in log.everything(TOPIC) if START + hour <= e.time_ms < START + 2 * hour}

    class Counting:
        list, gets = blobs.list, 0

        async def get(self, key):
            self.gets += 1
            return await blobs.get(key)

    async def work(counting):
        archived, told = ArchivedLog(counting, log, TOPIC), []
        until = [bounds.last for bounds in await archived.bounds()]
        pages = events(archived, until, from_ms=START + hour, to_ms=START + 2 * hour, unreadable=told.append)
        return [(r.partition, r.offset) async for page in pages for r in page], told

    counting = Counting()
    found, told = asyncio.run(work(counting))
    assert len(found) == len(set(found)) and len(found) + len(told) == len(wanted) and set(found) <= wanted
    assert 3 <= counting.gets <= 6 < len(asyncio.run(blobs.list("")))


def test_training_reads_the_archive_as_it_reads_the_embedded_log(blobs, tmp_path):
    """The same events through the archive and through an embedded log give the same feature rows."""
    from backends.sqlite.database import Database
    from core.video_table import Vocabulary
    from features.columns import read_columns
    from tests.features.test_drivers import SqliteEventLog
    from tests.features.toy_state import every_kind
    from tests.features.worldlet import catalogue

    table = catalogue()
    records = every_kind(table, 200, 6)
    embedded, log = SqliteEventLog(Database(tmp_path / "log.db", durable=False)), ToyLog()
    for at, event in enumerate(records):
        log.put(TOPIC, at % 2, event.viewer_id, encode(event), START + at * 20_000)
    asyncio.run(embedded.append(records))
    run(log, blobs)
    log.forget(TOPIC, 0, 50)
    source = ArchivedEvents(ArchivedLog(blobs, log, TOPIC))
    ours, viewers = asyncio.run(read_columns(source, table, Vocabulary()))
    wanted, wanted_viewers = asyncio.run(read_columns(embedded, table, Vocabulary()))
    assert viewers == wanted_viewers
    for name in ours.__dataclass_fields__:
        assert getattr(ours, name).tobytes() == getattr(wanted, name).tobytes()
