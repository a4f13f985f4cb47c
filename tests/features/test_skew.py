"""Logged feature rows come out of the log again to the last bit; whatever makes them differ is named by feature."""

import asyncio

import msgspec
import numpy as np
import pytest

import features.online
from core.arrays import pack, unpack
from core.events import Like, VideoUpdated, Watch
from core.slate import Slate
from features.definitions import NAMES, PRIOR
from features.layout import HOUR_MS
from features.logged import READ, VIEWER_READ, logged_slate
from features.skew.check import check_skew
from features.skew.compare import bits_differ, ulps
from features.skew.one_log import LogCatalogue, LogStates
from features.skew.recompute import _settled_apart
from tests.features.served_world import ServedWorld
from tests.features.toy_state import every_kind
from tests.features.worldlet import START_MS, catalogue
from training.log_data import load_log


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A world with 3,000 logged rows."""
    world = ServedWorld(tmp_path_factory.mktemp("world"))
    return world, world.live(900, 150)


class Without:
    """A log that lost some events."""

    def __init__(self, log, lost):
        self._log, self._lost = log, lost

    async def read(self, after, limit):
        kept = []
        while not kept and (records := await self._log.read(after, limit)):
            kept = [record for record in records if not self._lost(record)]
            after = records[-1].offset
        return kept


def checked(world, logged, log=None):
    users = asyncio.run(world.tables.all_users())
    log = log or world.log
    return asyncio.run(check_skew(logged, LogStates(log, users), LogCatalogue(log), world.state.table.authors.words))


def test_thousands_of_logged_rows_come_out_the_same_to_the_last_bit(served):
    world, logged = served
    report = world.check(logged).report
    assert (report.rows, report.features) == (3_000, len(NAMES))
    assert report.differences == () and report.missing_states == 0 and report.clean
    # the check would mean little if every row had been read from the same few states
    assert report.states > 1_000


def test_staleness_is_applied_less_event_time(tmp_path):
    world = ServedWorld(tmp_path)
    world.now_ms = START_MS + 700
    like = Like(event_id="l", viewer_id="u1", video_id="v3", time_ms=START_MS)
    asyncio.run(world.log.append([like]))
    asyncio.run(world.processor.catch_up())
    stale = {s.entity: s for s in world.check([logged_slate(*world.serve("u1", [3]))]).report.staleness}
    assert stale.keys() == {"viewer", "video", "author", "trend"}
    assert {(s.states, s.p50_ms, s.max_ms) for s in stale.values()} == {(1, 700.0, 700.0)}


def altered(logged, row, feature, value):
    """The slate with one logged value replaced."""
    arrays = {"features": logged.features.copy(), "rows": logged.rows, READ: logged.read, VIEWER_READ: logged.viewer}
    arrays["features"][row, NAMES.index(feature)] = value
    return type(logged)(logged.slate, arrays["features"], logged.rows, logged.read, logged.viewer)


def test_one_altered_value_is_found_and_named(served):
    world, logged = served
    was = float(logged[40].features[7, NAMES.index("video_likes_rate_2d")])
    changed = np.nextafter(np.float32(was), np.float32(1))  # one float32 further
    report = world.check([*logged[:40], altered(logged[40], 7, "video_likes_rate_2d", changed), *logged[41:]]).report
    assert [(d.feature, d.rows) for d in report.differences] == [("video_likes_rate_2d", 1)]
    example = report.differences[0].example
    assert (example.slate_id, example.video_id) == (logged[40].slate.slate_id, logged[40].slate.video_ids[7])
    assert (example.logged, example.recomputed) == (float(changed), was)
    assert report.differences[0].max_absolute == float(changed) - was and not report.clean


def test_an_event_that_the_log_lost_is_found_in_the_features_that_it_counts_in(tmp_path):
    world = ServedWorld(tmp_path)
    for number in range(3):
        watch = Watch(
            event_id=f"w{number}", viewer_id="u1", video_id="v3", time_ms=START_MS + number, play_ms=9, length_ms=10
        )
        world.happen(watch)
    logged = [logged_slate(*world.serve("u1", [3, 4]))]
    report = checked(world, logged, Without(world.log, lambda r: r.event.event_id == "w1")).report
    named = {d.feature: d for d in report.differences}
    assert {"video_watches_6h", "viewer_watches_1d", "session_position", "history_len"} <= named.keys()
    assert (named["session_position"].example.logged, named["session_position"].example.recomputed) == (3.0, 2.0)
    assert not {"hour", "length_s", "follows_author", "age_h"} & named.keys()


def test_a_state_to_which_the_log_does_not_lead_is_named_and_its_rows_are_not_counted_as_right(tmp_path):
    world = ServedWorld(tmp_path)
    world.happen(Like(event_id="l", viewer_id="u1", video_id="v3", time_ms=START_MS))
    logged = [logged_slate(*world.serve("u2", [3, 4]))]
    version = int(logged[0].read["video_version"][0])
    report = checked(world, logged, Without(world.log, lambda r: r.event.event_id == "l")).report
    assert ("video", "v3", version) in {(m.entity, m.id, m.version) for m in report.missing}
    # v4 is of another author and topic, so its row has all that it needs
    assert (report.missing_rows, report.rows, report.clean) == (1, 2, False)


def test_another_constant_of_a_shared_function_is_found_in_its_features_alone(served, monkeypatch):
    world, logged = served
    monkeypatch.setitem(PRIOR, "likes", 0.021)
    named = {d.feature for d in world.check(logged[:20]).report.differences}
    assert named and named <= {name for name in NAMES if "likes" in name}


def test_another_decay_is_found_in_what_decays(served, monkeypatch):
    world, logged = served
    honest = features.online.gather
    monkeypatch.setattr(features.online, "gather", lambda rows, now_ms, *rest: honest(rows, now_ms + HOUR_MS, *rest))
    named = {d.feature for d in world.check(logged[:20]).report.differences}
    assert {"video_watches_6h", "viewer_watches_1d", "since_last_s"} <= named
    assert not {"hour", "age_h", "history_len", "surface"} & named


def test_a_video_that_changed_later_is_read_as_it_was(tmp_path):
    world = ServedWorld(tmp_path)
    logged = world.live(120, 10)
    at = {"viewer_id": "a0", "time_ms": world.now_ms}
    world.happen(VideoUpdated(event_id="change", video_id="v3", topic="t-new", content_embedding=(0.5,) * 32, **at))
    world.happen(Like(event_id="after", viewer_id="u1", video_id="v3", time_ms=world.now_ms))
    logged += [logged_slate(*world.serve("u1", [3, 4, 8])), logged_slate(*world.serve("u2", [3, 8]))]
    assert world.check(logged).report.clean


def test_a_viewer_and_videos_without_events_are_computed_from_nothing(tmp_path):
    world = ServedWorld(tmp_path)
    report = world.check([logged_slate(*world.serve("nobody"))]).report
    assert (report.rows, report.states, report.clean) == (20, 0, True)


def test_a_slate_without_detail_or_logged_without_reads_is_left_out(served):
    _, logged = served
    slate = logged[0].slate
    assert logged_slate(slate, None) is None
    world, _ = served
    detail = asyncio.run(world.slates.get_detail(slate.slate_id))
    arrays, _ = unpack(detail.served)
    older = msgspec.structs.replace(detail, served=pack({k: v for k, v in arrays.items() if k != READ}))
    assert logged_slate(slate, older) is None
    nothing = Slate(slate_id="x", viewer_id="u", session_id="", surface="for_you", time_ms=1, page=0, seed=0,
                    video_ids=(), sources=())  # fmt: skip
    assert logged_slate(nothing, detail) is None


def test_a_read_during_which_a_counter_was_written_is_made_again(tmp_path, monkeypatch):
    world = ServedWorld(tmp_path)
    world.happen(Like(event_id="l", viewer_id="u1", video_id="v3", time_ms=START_MS))
    honest, calls = features.online.gather, []

    def disturbed(*arguments):
        honest(*arguments)
        calls.append(1)
        if len(calls) == 1:  # another process writes the next state of the row after it was read
            world.state.videos.records["counts"][3] += 1 << 16
            world.state.videos.records["version"][3] += 1

    before = int(world.state.videos.records["version"][3])
    monkeypatch.setattr(features.online, "gather", disturbed)
    query = asyncio.run(world.query("u2"))
    matrix, read = world.online.matrix_and_read(query, np.array([3, 4], np.int32))
    monkeypatch.setattr(features.online, "gather", honest)
    assert len(calls) == 2 and read["video_version"].tolist() == [before + 1, 0]
    assert matrix.tobytes() == world.online.matrix(query, np.array([3, 4], np.int32)).tobytes()


def test_rows_of_one_author_read_at_two_versions_are_computed_apart(served):
    _, logged = served
    read = logged[0].read[:4].copy()
    read["author"], read["trend"] = [1, 1, 2, 3], [5, 6, 7, 8]
    read["author_version"], read["trend_version"] = [10, 10, 11, 12], [1, 1, 1, 1]
    rows = np.arange(4)
    assert [part.tolist() for part in _settled_apart(rows, read)] == [[0, 1, 2, 3]]
    read["author_version"][1] = 13
    assert [part.tolist() for part in _settled_apart(rows, read)] == [[0], [1], [2], [3]]


def test_bits_and_distances_of_floats():
    one = np.array([1.0, 0.0, np.nan, -1.0, 3.0], np.float32)
    other = np.array([np.nextafter(np.float32(1), np.float32(2)), -0.0, np.nan, 1.0, np.nan], np.float32)
    assert bits_differ(one, other).tolist() == [True, True, False, True, True]
    # -0 is the neighbour of nothing but itself: by value the same place as 0
    assert ulps(one, other)[[0, 1, 2, 4]].tolist() == [1, 0, 0, 1 << 32]
    assert ulps(one, other)[3] == 2 * np.float32(1).view(np.int32)


def test_state_that_a_training_run_wrote_is_what_the_log_leads_to_late_events_too(tmp_path):
    """Serving goes on from rows that a batch left; a log whose events are not in the order of time must not show."""
    world = ServedWorld(tmp_path)
    stream = every_kind(catalogue(), 300, 5)
    late = [stream[at] for at in np.random.default_rng(4).permutation(300).tolist()]
    asyncio.run(world.log.append(late))
    data = asyncio.run(load_log(world.log, world.videos, world.tables))
    asyncio.run(world.features.write(data.driver.packed(1), data.applied_offset))
    asyncio.run(world.processor.load())
    world.now_ms = stream[-1].time_ms + 1
    report = world.check([logged_slate(*world.serve(f"u{n}")) for n in range(7)]).report
    assert report.rows == 140 and report.clean


def test_a_restart_after_topics_changed_leaves_counters_where_they_were(tmp_path):
    world = ServedWorld(tmp_path)
    world.live(120, 2)
    at = {"viewer_id": "a0", "time_ms": world.now_ms}
    world.happen(VideoUpdated(event_id="one", video_id="v3", topic="t-new", **at))
    world.happen(VideoUpdated(event_id="two", video_id="v0", topic="t4", **at))
    again = world.restarted()
    logged = [logged_slate(*again.serve(f"u{n}")) for n in range(7)]
    assert again.check(logged).report.clean
