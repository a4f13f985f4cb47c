"""The stream and the batch driver, and serving, compute the same bits; a killed processor counts nothing twice."""

import asyncio

import numpy as np
import pytest

from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.feature_store import SqliteFeatureStore
from backends.sqlite.history_store import SqliteHistoryStore
from backends.sqlite.tables import SqliteTables
from backends.sqlite.video_store import SqliteVideoStore
from core.errors import Unavailable
from core.events import Follow, Impression, Unfollow
from core.query import Query
from core.video_table import VideoTable, Vocabulary
from features.definitions import NAMES
from features.layout import VIEWER_DTYPE
from features.online import OnlineFeatures
from features.packed import record_of, unstamped
from features.processor import Processor, ReadModels
from features.state import FeatureState
from features.words import Words
from tests.features.toy_state import PROFILES, batch, every_kind
from tests.features.worldlet import START_MS, catalogue, publications


class Home:
    """The embedded stores in a folder, with the catalogue's and some viewers' events on the log."""

    def __init__(self, folder, events):
        self.database = Database(folder / "state.db", durable=False)
        self.log = SqliteEventLog(Database(folder / "log.db", durable=False))
        self.tables = SqliteTables(Database(folder / "tables.db", durable=False))
        self.features = SqliteFeatureStore(self.database, "schema")
        self.videos, self.history = SqliteVideoStore(self.database), SqliteHistoryStore(self.database)
        asyncio.run(self.tables.put_users(PROFILES))
        asyncio.run(self.log.append([*publications(), *events]))

    def processor(self, features=None):
        """A new process over the stores, under the vocabularies that a bundle would carry."""
        models = ReadModels(
            self.history, self.tables, self.videos, features or self.features, self.database.transaction
        )
        state = FeatureState(asyncio.run(self.videos.load()))
        words().restore(state)
        return Processor(self.log, models, state, Vocabulary(), lambda: 0)

    def rows(self):
        """Every stored feature row by entity and id."""
        entities = ("viewer", "video", "author", "trend")
        return {(entity, key): raw for entity in entities for key, raw in asyncio.run(self.features.scan(entity))}


def words():
    """The codes that the batch driver gave to the profiles."""
    driver, _ = batch(every_kind(catalogue(), 30, 0))
    return Words.of(driver.state, Vocabulary(), 0)


@pytest.fixture
def events():
    return every_kind(catalogue(), 400, 6)


def batch_rows(events):
    """What the batch driver leaves, packed as the store keeps it."""
    driver, _ = batch(events)
    return {(entity, key): raw for entity, rows in driver.packed(0).items() for key, raw in rows.items()}


def test_the_stream_leaves_the_same_bits_as_the_batch(tmp_path, events):
    home, wanted = Home(tmp_path, events), batch_rows(events)
    asyncio.run(home.processor().load())
    stored = home.rows()
    assert {entity for entity, _ in stored} == {"viewer", "video", "author", "trend"}
    different = [key for key, raw in stored.items() if unstamped(raw) != unstamped(wanted[key])]
    assert different == []
    missing = [key for key, raw in wanted.items() if key not in stored and any(raw)]
    assert missing == []


def test_it_does_not_matter_how_the_log_is_cut_into_pieces(tmp_path, events):
    home, processor, rng = Home(tmp_path, events), None, np.random.default_rng(0)
    processor = home.processor()
    while records := asyncio.run(home.log.read(processor.applied, int(rng.integers(1, 60)))):
        asyncio.run(processor.apply(records))
    wanted = batch_rows(events)
    assert [key for key, raw in home.rows().items() if unstamped(raw) != unstamped(wanted[key])] == []


def test_records_that_were_applied_are_passed_over_and_gaps_are_filled(tmp_path, events):
    home = Home(tmp_path, events)
    processor = home.processor()
    everything = asyncio.run(home.log.read(0, 10_000))
    asyncio.run(processor.apply(everything[:100]))
    asyncio.run(processor.apply(everything[50:90]))
    asyncio.run(processor.apply(everything[-3:]))
    assert processor.applied == len(everything)
    wanted = batch_rows(events)
    assert [key for key, raw in home.rows().items() if unstamped(raw) != unstamped(wanted[key])] == []


class Failing:
    """A feature store whose writes fail at given calls."""

    def __init__(self, store, fail_at):
        self._store, self._fail_at, self.calls = store, fail_at, 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def write(self, rows, applied_offset):
        self.calls += 1
        if self.calls in self._fail_at:
            raise Unavailable("The store is away.")
        await self._store.write(rows, applied_offset)


async def apply_all(home, processor, size=50):
    """Apply the log in pieces, trying again when a store is away."""
    while records := await home.log.read(processor.applied, size):
        try:
            await processor.apply(records)
        except Unavailable:
            continue


def test_a_store_that_fails_for_a_while_leads_to_no_double_count(tmp_path, events):
    home = Home(tmp_path, events)
    asyncio.run(apply_all(home, home.processor(Failing(home.features, {2, 5, 6}))))
    wanted = batch_rows(events)
    assert [key for key, raw in home.rows().items() if unstamped(raw) != unstamped(wanted[key])] == []


def test_two_processes_over_the_same_stores_count_every_event_once(tmp_path, events):
    home, wanted = Home(tmp_path, events), batch_rows(events)
    first, second = home.processor(), home.processor()
    everything = asyncio.run(home.log.read(0, 10_000))
    asyncio.run(first.apply(everything[:300]))
    asyncio.run(second.apply(everything[:250]))
    asyncio.run(second.catch_up())
    asyncio.run(first.catch_up())
    assert [key for key, raw in home.rows().items() if unstamped(raw) != unstamped(wanted[key])] == []
    counted = [p.state.videos.records["counts"].tobytes() for p in (first, second)]
    assert counted[0] == counted[1]


def test_a_process_killed_between_append_and_apply_catches_up_once(tmp_path, events):
    home = Home(tmp_path, events)
    first = home.processor(Failing(home.features, {2}))
    records = asyncio.run(home.log.read(0, 10_000))
    asyncio.run(first.apply(records[:200]))
    with pytest.raises(Unavailable):
        asyncio.run(first.apply(records[200:300]))
    second = home.processor()
    asyncio.run(second.load())
    assert second.applied == len(records)
    wanted = batch_rows(events)
    assert [key for key, raw in home.rows().items() if unstamped(raw) != unstamped(wanted[key])] == []
    third = home.processor()
    asyncio.run(third.load())
    for name in ("version", "counts", "steps", "totals"):
        assert third.state.videos.records[name].tobytes() == second.state.videos.records[name].tobytes()


def query_of(home, processor, event, events):
    """What serving would know at the moment of an impression."""
    raw = asyncio.run(home.features.read("viewer", [event.viewer_id]))[0]
    profile = next((p for p in PROFILES if p.user_id == event.viewer_id), None)
    record = record_of(raw, VIEWER_DTYPE) if raw else processor.state.new_viewer(profile)
    followed = {}
    for other in events:
        if (
            other.time_ms < event.time_ms
            and other.viewer_id == event.viewer_id
            and isinstance(other, (Follow, Unfollow))
        ):
            followed[other.author_id] = isinstance(other, Follow)
    follows = [author for author, stands in followed.items() if stands]
    return Query(
        viewer_id=event.viewer_id, surface=event.surface, session_id="s", now_ms=event.time_ms, page=0, limit=1,
        seed=0, viewer_state=record, follows=processor.state.table.authors.codes(follows),
    )  # fmt: skip


def test_serving_computes_the_batch_row_of_the_same_moment_bit_for_bit(tmp_path, events):
    _, rows = batch(events)
    shown = [event for event in events if isinstance(event, Impression)]
    home = Home(tmp_path, events)
    processor, table = home.processor(), catalogue()
    checked = 0
    for row in range(5, len(shown), 9):
        event = shown[row]
        before = len(publications()) + sum(e.time_ms < event.time_ms for e in events)
        asyncio.run(processor.apply(asyncio.run(home.log.read(processor.applied, before - processor.applied))))
        online = OnlineFeatures(processor.state, Vocabulary(["for_you"]), 0)
        candidates = np.array([0, table.row(event.video_id), 7], np.int32)
        matrix = online.matrix(query_of(home, processor, event, events), candidates)
        assert matrix.dtype == np.float32 and matrix.shape == (3, len(NAMES))
        wrong = [name for name, a, b in zip(NAMES, matrix[1], rows.features[row], strict=True) if a != b]
        assert not wrong and matrix[1].tobytes() == rows.features[row].tobytes()
        checked += 1
    assert checked > 5


def test_a_candidates_features_do_not_depend_on_the_others(tmp_path, events):
    home = Home(tmp_path, events)
    processor = home.processor()
    asyncio.run(processor.load())
    online = OnlineFeatures(processor.state, Vocabulary(["for_you"]), 1)
    event = Impression(event_id="i", viewer_id="u1", video_id="v0", time_ms=events[-1].time_ms + 1)
    query, rows = query_of(home, processor, event, events), np.arange(40, dtype=np.int32)
    together = online.matrix(query, rows)
    alone = np.concatenate([online.matrix(query, rows[n : n + 1]) for n in range(40)])
    assert together.tobytes("C") == alone.tobytes("C")
    assert np.isfinite(together).all()


def test_a_viewer_without_a_record_gets_finite_features():
    state = FeatureState(catalogue())
    query = Query(viewer_id="x", surface="elsewhere", session_id="", now_ms=START_MS, page=0, limit=1, seed=0)
    matrix = OnlineFeatures(state, Vocabulary(["for_you"]), 1).matrix(query, np.arange(3, dtype=np.int32))
    assert np.isfinite(matrix).all()
    # an unknown surface is taken for the usual one
    assert matrix[:, NAMES.index("surface")].tolist() == [1, 1, 1]
    assert matrix[:, NAMES.index("since_last_s")].tolist() == [-1, -1, -1]


def test_a_watch_of_a_video_that_is_not_known_here_yet_is_like_no_candidate():
    table = catalogue()
    candidate = np.zeros(1, np.int32)
    apart = np.flatnonzero((table.author != table.author[0]) & (table.topic != table.topic[0]))[0]

    def matrix(watched):
        record = np.zeros(1, VIEWER_DTYPE)
        record["history_len"], record["history_video"][0, 0] = 1, watched
        query = Query(viewer_id="x", surface="for_you", session_id="", now_ms=START_MS, page=0, limit=1, seed=0,
                      viewer_state=record)  # fmt: skip
        return OnlineFeatures(FeatureState(table), Vocabulary(["for_you"]), 1).matrix(query, candidate)

    assert matrix(2**30).tobytes() == matrix(apart).tobytes() != matrix(0).tobytes()


def test_no_candidates_give_an_empty_matrix():
    query = Query(viewer_id="x", surface="for_you", session_id="", now_ms=START_MS, page=0, limit=1, seed=0)
    online = OnlineFeatures(FeatureState(VideoTable()), Vocabulary(), 0)
    assert online.matrix(query, np.zeros(0, np.int32)).shape == (0, len(NAMES))
