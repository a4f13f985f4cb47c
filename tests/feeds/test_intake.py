"""What the event intake accepts, corrects and refuses."""

import asyncio
import json

import pytest

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.slate_store import SqliteSlateStore
from core.errors import StorageFull, Unavailable
from core.events import Impression, Like, VideoPublished, Watch
from feeds.intake import EventIntake, IntakeConfig
from tests.serving.fakes import NOW_MS, HandClock, MemoryLog, MemorySlates, slate

LENGTHS = {"v1": 10_000, "v2": 20_000, "unmeasured": 0}
DAY_MS = 86_400_000


class Bench:
    """An intake over memory, with everything it touches at hand."""

    def __init__(self, *slates, **config):
        self.log = MemoryLog()
        self.slates = MemorySlates(*(slates or (slate(),)))
        self.clock = HandClock()
        self.applied = []
        self.apply_fails = None
        self.intake = EventIntake(
            self.log,
            self.slates,
            LENGTHS.get,
            self.apply,
            self.clock,
            IntakeConfig(**config),
        )

    async def apply(self, records):
        if self.apply_fails:
            raise self.apply_fails
        self.applied.extend(records)

    def accept(self, *events, viewer="ann", operator=False):
        return asyncio.run(self.intake.accept(viewer, events, operator=operator))

    def send(self, *documents, **options):
        return self.accept(*(json.dumps(document).encode() for document in documents), **options)


def like(event_id="e1", **fields):
    return {"kind": "like", "event_id": event_id, "time_ms": NOW_MS, "video_id": "v1", **fields}


def impression(**fields):
    return like(**{"kind": "impression", "slate_id": "s1", **fields})


def watch(**fields):
    return like(**{"kind": "watch", "play_ms": 5_000, "length_ms": 10_000, **fields})


def published(**fields):
    return {
        "kind": "video_published",
        "event_id": "p1",
        "viewer_id": "author",
        "time_ms": NOW_MS,
        "video_id": "new",
        "author_id": "author",
        "length_ms": 1_000,
        "upload_ms": NOW_MS,
        **fields,
    }


def test_a_good_event_is_logged_with_its_ingestion_time_and_applied_at_once():
    bench = Bench()
    (verdict,) = bench.send(like())
    assert (verdict.event_id, verdict.status, verdict.reason) == ("e1", "accepted", "")
    expected = Like(event_id="e1", viewer_id="ann", time_ms=NOW_MS, ingested_ms=NOW_MS, video_id="v1")
    assert bench.log.events == [expected]
    assert [(record.offset, record.event) for record in bench.applied] == [(1, expected)]


def test_events_that_are_structs_already_need_no_json():
    bench = Bench()
    event = Like(event_id="e1", viewer_id="ann", time_ms=NOW_MS, video_id="v1")
    assert bench.accept(event)[0].status == "accepted"


def test_a_known_event_is_a_duplicate_and_is_not_applied_again():
    bench = Bench()
    assert [v.status for v in bench.send(like(), like())] == ["accepted", "duplicate"]
    assert [v.status for v in bench.send(like(), like("e2"))] == ["duplicate", "accepted"]
    assert [record.event.event_id for record in bench.applied] == ["e1", "e2"]


def test_one_bad_event_does_not_lose_the_good_ones_and_all_good_ones_are_one_write():
    bench = Bench()
    verdicts = bench.send(like("e1"), {"kind": "dance"}, like("e3"), 7)
    assert [v.status for v in verdicts] == ["accepted", "rejected", "accepted", "rejected"]
    assert [v.event_id for v in verdicts] == ["e1", "", "e3", ""]
    assert bench.log.appends == 1


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (like(kind="dance"), "dance"),
        (like(viewer_id="bob"), "token"),
        (like(viewer_id=3), "viewer_id"),
        (like(event_id=""), "event_id"),
        (like(event_id="x" * 129), "event_id"),
        (like(event_id=5), "event_id"),
        (like(time_ms=NOW_MS + 600_001), "clock"),
        (like(time_ms=NOW_MS - 7 * DAY_MS - 1), "past"),
        (like(time_ms="today"), "time_ms"),
        (like(time_ms=10**30), "64-bit"),
        (like(schema=2), "schema"),
        (like(schema=-(10**30)), "64-bit"),
        (like(video_id="unknown"), "catalogue"),
        (like(slate_id="nowhere"), "slate"),
        (watch(video_id="unknown"), "catalogue"),
        (watch(length_ms=0), "length_ms"),
        (watch(play_ms=-1), "play_ms"),
        (watch(play_ms=50_001), "play_ms"),
        (watch(play_ms=1_000_000, length_ms=1_000_000), "play_ms"),
        (watch(video_id="unmeasured", length_ms=2**31), "length_ms"),
        (impression(slate_id="nowhere"), "slate"),
        (impression(slate_id=""), "slate"),
        (impression(slate_id="x" * 129), "slate"),
        (impression(video_id="unmeasured"), "slate"),
        ({"kind": "follow", "event_id": "f", "time_ms": NOW_MS, "author_id": ""}, "author_id"),
        (published(viewer_id="ann"), "video_published"),
        (like(text="x" * 70_000), "larger"),
    ],
)
def test_a_bad_event_is_rejected_with_the_reason(document, word):
    bench = Bench()
    (verdict,) = bench.send(document)
    assert verdict.status == "rejected"
    assert word in verdict.reason
    assert len(verdict.event_id) <= 128
    assert bench.log.appends == 0


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"kind":"\xff"}', b'{"a":' + b"[" * 50_000])
def test_bytes_that_are_no_json_object_are_rejected(raw):
    (verdict,) = Bench().accept(raw)
    assert verdict.status == "rejected"


def test_an_impression_of_another_viewers_slate_is_rejected():
    bench = Bench(slate(viewer_id="bob"))
    assert bench.send(impression())[0].status == "rejected"


def test_an_impression_takes_its_place_and_propensity_from_the_slate():
    bench = Bench()
    bench.send(impression(video_id="v2", position=99, propensity=1.0, surface="x", session_id="y"))
    (event,) = bench.log.events
    assert isinstance(event, Impression)
    assert (event.position, event.propensity) == (1, 0.25)
    assert (event.surface, event.session_id) == ("for_you", "session")


def test_an_impression_of_a_deterministic_slate_has_no_propensity():
    bench = Bench(slate(propensities=()))
    bench.send(impression(propensity=0.9))
    assert bench.log.events[0].propensity is None


def test_a_slate_is_read_once_for_a_burst_and_again_after_a_while():
    bench = Bench(slate_cache_ms=1_000)
    bench.send(impression(event_id="a"), impression(event_id="b", video_id="v2"))
    assert bench.slates.asked == 1
    bench.clock.now_ms += 1_000
    bench.send(impression(event_id="c"))
    assert bench.slates.asked == 2


def test_an_unknown_slate_is_asked_for_again():
    bench = Bench()
    assert bench.send(impression(slate_id="late"))[0].status == "rejected"
    bench.slates.slates["late"] = slate("late")
    assert bench.send(impression(slate_id="late"))[0].status == "accepted"


def test_the_slate_cache_stays_within_its_size():
    bench = Bench(slate("s1"), slate("s2"), slate("s3"), slate_cache_size=2)
    bench.send(*(impression(event_id=name, slate_id=name) for name in ("s1", "s2", "s3", "s3")))
    assert bench.slates.asked == 3
    bench.send(impression(event_id="again", slate_id="s1"))
    assert bench.slates.asked == 4


def test_a_watch_gets_the_length_of_the_catalogue_and_no_labels_from_the_client():
    bench = Bench()
    # 5 x the client's 1 ms would refuse 40,000 ms of play; 5 x the catalogue's 10,000 ms does not.
    bench.send(watch(play_ms=40_000, length_ms=1, long_view=True, click=True))
    (event,) = bench.log.events
    assert isinstance(event, Watch)
    assert (event.length_ms, event.long_view, event.click) == (10_000, None, None)


def test_a_watch_keeps_the_clients_length_where_the_catalogue_has_none():
    bench = Bench()
    bench.send(watch(video_id="unmeasured", length_ms=7_000))
    assert bench.log.events[0].length_ms == 7_000


def test_only_an_operator_publishes_videos_in_the_name_of_their_author():
    bench = Bench()
    assert bench.send(published(), viewer="root", operator=True)[0].status == "accepted"
    assert isinstance(bench.log.events[0], VideoPublished)
    assert bench.log.events[0].viewer_id == "author"


def test_an_operator_cannot_act_as_a_viewer():
    bench = Bench()
    (verdict,) = bench.send(like(viewer_id="ann"), viewer="root", operator=True)
    assert verdict.status == "rejected"


def test_a_video_without_an_id_or_a_length_is_not_published():
    for fault in ({"video_id": ""}, {"author_id": ""}, {"length_ms": 0}, {"length_ms": 2**31}):
        (verdict,) = Bench().send(published(**fault), viewer="root", operator=True)
        assert verdict.status == "rejected"


@pytest.mark.parametrize("outage", [Unavailable("The log is down."), StorageFull("No space.")])
def test_nothing_is_acknowledged_when_the_log_refuses(outage):
    bench = Bench()
    bench.log.outage = outage
    with pytest.raises(type(outage)):
        bench.send(like())
    assert bench.applied == []


def test_an_event_that_is_durable_is_accepted_although_it_could_not_be_applied(caplog):
    bench = Bench()
    bench.apply_fails = Unavailable("The feature store does not answer.")
    assert bench.send(like())[0].status == "accepted"
    assert len(bench.log.events) == 1
    assert "The feature store does not answer." in caplog.text


def test_overlapping_requests_are_applied_in_the_order_of_the_log():
    bench = Bench()
    inner = bench.log.append

    async def slow_first(events):
        placed = await inner(events)
        await asyncio.sleep(0.02 if placed[0].offset == 1 else 0)
        return placed

    bench.log.append = slow_first

    async def both():
        raws = [json.dumps(like(name)).encode() for name in ("first", "second")]
        await asyncio.gather(*(bench.intake.accept("ann", [raw]) for raw in raws))

    asyncio.run(both())
    assert [record.offset for record in bench.applied] == [1, 2]


@pytest.mark.parametrize("in_turn", [True, False])
def test_requests_take_turns_where_their_events_are_applied_and_nowhere_else(in_turn):
    class Away:
        under_way = most = 0

        async def append(self, events):
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0.01)
            self.under_way -= 1
            raise Unavailable("The log does not answer.")

    async def apply(records):
        raise AssertionError("nothing was appended")

    async def five_at_once():
        intake = EventIntake(log, MemorySlates(), LENGTHS.get, apply, HandClock(), IntakeConfig(), in_turn=in_turn)
        raw = json.dumps(like()).encode()
        return await asyncio.gather(*(intake.accept("ann", [raw]) for _ in range(5)), return_exceptions=True)

    log = Away()
    assert [type(outcome) for outcome in asyncio.run(five_at_once())] == [Unavailable] * 5
    assert log.most == (1 if in_turn else 5)


def test_an_empty_batch_writes_nothing():
    bench = Bench()
    assert bench.accept() == []
    assert bench.log.appends == 0


def test_it_works_over_the_embedded_stores_and_what_it_logs_survives_a_restart(tmp_path):
    def stores():
        database = Database(tmp_path / "log.db", durable=True)
        return database, SqliteEventLog(database), SqliteSlateStore(database)

    async def apply(records):
        pass

    async def first_run(log, slates):
        await slates.append(slate())
        intake = EventIntake(log, slates, LENGTHS.get, apply, HandClock(), IntakeConfig())
        raws = [json.dumps(event).encode() for event in (impression(), impression(), watch())]
        return await intake.accept("ann", raws)

    database, log, slates = stores()
    verdicts = asyncio.run(first_run(log, slates))
    # The watch has the id of the impression, so it is a duplicate too.
    assert [v.status for v in verdicts] == ["accepted", "duplicate", "duplicate"]
    database.close()
    database, log, _ = stores()
    (record,) = asyncio.run(log.read(0, 10))
    assert (record.offset, record.event.propensity) == (1, 0.5)
    database.close()
