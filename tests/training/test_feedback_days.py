"""Rows by day: final once, the same bytes again, and what serving logged is what training sees."""

import asyncio
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from backends.blob_folder import FolderBlobStore
from core.errors import CorruptData, InputError, SchemaMismatch
from core.events import Impression, Like, VideoPublished, Watch
from core.ports import Record
from core.video_table import VideoTable, Vocabulary
from features.columns import columns_of
from features.dataset import labelled
from features.definitions import NAMES
from features.layout import DAY_MS, HOUR_MS
from features.logged import logged_slate
from ranking.bins import SharedBins
from ranking.head_config import HeadConfig
from ranking.heads import train_heads
from tests.features.served_world import ServedWorld
from tests.training.feedback_world import DAY, NOON_MS, Feedback, run
from training.feedback import files
from training.feedback.days import join_days
from training.feedback.files import fixed_values, read_rows
from training.feedback.rows import LoggedRows, training_rows
from training.feedback.rules import RULES, JoinConfig
from training.split import Split

FINAL_MS = JoinConfig().final_at_ms(NOON_MS + DAY_MS // 2)


@pytest.fixture
def world(tmp_path):
    world = Feedback(tmp_path)
    world.serve("s1", videos=("v1", "v2"))
    world.serve("s2", videos=("v3",), viewer="bob", at_ms=NOON_MS + DAY_MS)
    for slate, video, viewer, at_ms in (("s1", "v1", "ann", NOON_MS), ("s2", "v3", "bob", NOON_MS + DAY_MS)):
        world.shown(slate=slate, video=video, viewer=viewer, at_ms=at_ms + 1)
        world.watched(slate=slate, video=video, viewer=viewer, at_ms=at_ms + 9_000)
    return world


def stored(world):
    return {path.parent.name: path.read_bytes() for path in sorted((world.folder / "training_rows").rglob("*.parquet"))}


def test_a_day_is_written_when_it_is_final_and_not_before(world):
    early = world.join(FINAL_MS)
    assert early.joined == () and early.waiting == (DAY, "2024-01-02")
    report = world.join(FINAL_MS + 1)
    assert [day.day for day in report.joined] == [DAY] and report.waiting == ("2024-01-02",)
    assert list(stored(world)) == ["day=2024-01-01"]


def test_each_day_is_joined_once(world):
    world.join(FINAL_MS + 1)
    report = world.join(FINAL_MS + DAY_MS + 1)
    assert [day.day for day in report.joined] == ["2024-01-02"] and report.written_before == (DAY,)
    again = world.join(FINAL_MS + DAY_MS + 1)
    assert again.joined == () and again.written_before == (DAY, "2024-01-02")


def test_joining_again_gives_the_same_bytes_whatever_arrived_since(world):
    world.join(FINAL_MS + 1)
    first = stored(world)
    world.liked(video="v1", at_ms=NOON_MS + 30_000, arrived_ms=FINAL_MS + HOUR_MS)
    report = world.join(FINAL_MS + HOUR_MS, again=True)
    assert stored(world) == first and report.joined[0].arrived_late == 1


def test_rows_are_parquet_that_anyone_can_read(world):
    world.join(FINAL_MS + 1)
    table = pq.read_table(world.folder / "training_rows" / "day=2024-01-01" / "rows.parquet")
    assert table.num_rows == 1 and {f"label_{rule.head}" for rule in RULES} <= set(table.column_names)
    assert table.schema.field("features").type.list_size == len(NAMES)


def test_features_of_joined_rows_are_those_that_were_logged_to_the_last_bit(world):
    world.join(FINAL_MS + 1)
    logged = logged_slate(run(world.slates.get("s1")), run(world.slates.get_detail("s1")))
    table = run(read_rows(world.blobs, [DAY]))
    assert fixed_values(table, "features", len(NAMES)).tobytes() == logged.declared[:1].tobytes()
    own = np.array(table["bundle_features"].to_pylist(), np.float32)
    assert own.tobytes() == logged.features[:1, len(NAMES) :].tobytes()


def test_rows_of_another_feature_schema_or_damaged_ones_are_refused(world, monkeypatch):
    world.join(FINAL_MS + 1)
    with monkeypatch.context() as patch:
        patch.setattr(files, "schema_hash", lambda: "another")
        with pytest.raises(SchemaMismatch, match=r"training_rows/day=2024-01-01/rows\.parquet.*another build"):
            run(read_rows(world.blobs, [DAY]))
    run(world.blobs.put(files.key_of(DAY), b"garbage"))
    with pytest.raises(CorruptData, match="delete them and join again"):
        run(read_rows(world.blobs, [DAY]))


def test_no_days_give_no_rows(world):
    assert run(read_rows(world.blobs, [])).num_rows == 0


def random_feedback(world, rng, slates=60):
    """Slates whose every video is shown once, most of them watched, some liked, all within every window."""
    events = []
    for number in range(slates):
        at_ms, videos = NOON_MS + number * 40_000, [f"v{v}" for v in rng.choice(40, 5, replace=False)]
        slate = world.serve(f"r{number}", videos, viewer=f"u{number % 7}", at_ms=at_ms)
        for place, video in enumerate(videos):
            where = {"video": video, "slate": slate.slate_id, "viewer": slate.viewer_id}
            events.append(world.event(Impression, at_ms=at_ms + place + 1, **where))
            if rng.random() < 0.8:
                play, length = int(rng.exponential(15_000)), int(rng.integers(5_000, 60_000))
                play = min(play, 5 * length)
                events.append(world.event(Watch, at_ms=at_ms + 20 + place, play_ms=play, length_ms=length, **where))
            if rng.random() < 0.2:
                events.append(world.event(Like, at_ms=at_ms + 60 + place, **where))
    world.happen(*events)
    return events


def test_labels_are_those_of_recomputed_rows_where_the_rules_coincide(tmp_path):
    """They do for every video that was watched, shown once and reported within the windows."""
    world = Feedback(tmp_path)
    events = random_feedback(world, np.random.default_rng(3))
    table, viewers = VideoTable(), {}
    for number in range(40):
        table.publish(
            VideoPublished(event_id=f"p{number}", viewer_id="a", time_ms=1, video_id=f"v{number}", author_id="a",
                           length_ms=1_000, upload_ms=1)
        )  # fmt: skip
    records = [Record(offset, event) for offset, event in enumerate(events, 1)]
    columns = columns_of(records, table, viewers, Vocabulary())
    index, wanted = labelled(columns)
    of = {(events[at].slate_id, events[at].video_id): row for row, at in enumerate(index.tolist())}
    checked = 0
    for row in world.rows()[1]:
        at = of[row["slate_id"], row["video_id"]]
        if np.isnan(wanted["long_view"][at]):
            continue
        for rule in RULES:
            assert row[f"label_{rule.head}"] == wanted[rule.head][at], (rule.head, row)
        assert (row["play_ms"], row["length_ms"]) == (wanted["play_ms"][at], wanted["length_ms"][at])
        checked += 1
    assert checked > 150


def test_a_fit_on_joined_rows_sees_what_serving_logged_to_the_last_bit(tmp_path):
    """Through the whole path: served, logged, joined, read back, in the order of serving."""
    served = ServedWorld(tmp_path)
    logged = {one.slate.slate_id: one for one in served.live(200, 20)}
    for one in list(logged.values()):
        slate = one.slate
        common = {"viewer_id": slate.viewer_id, "slate_id": slate.slate_id, "ingested_ms": slate.time_ms}
        shown = [
            Impression(event_id=f"i{slate.slate_id}{v}", video_id=v, time_ms=slate.time_ms + 1, **common)
            for v in slate.video_ids[:6]
        ]
        asyncio.run(served.log.append(shown))
    blobs = FolderBlobStore(tmp_path)
    days = run(join_days(served.slates, served.log, blobs, served.now_ms + 4 * DAY_MS))
    table = run(read_rows(blobs, [day.day for day in days.joined]))
    viewers = {f"u{n}": n for n in range(8)}
    rows = training_rows(table, served.state.table, viewers, Vocabulary(["for_you"]))
    assert len(rows.rows) == 120 and rows.weights.tolist() == [1.0] * 120
    assert (np.diff(rows.rows.time_ms) >= 0).all()
    names = table["slate_id"].to_pylist()
    positions = table["position"].to_pylist()
    for row in range(120):
        one = logged[names[row]]
        assert rows.rows.matrix(np.array([row]))[0].tobytes() == one.declared[positions[row]].tobytes()
        past = rows.rows.histories(np.array([row]))
        assert past.video[0].tobytes() == one.viewer["history_video"][0].tobytes()
        assert past.length[0] == one.viewer["history_len"][0]


def logged_rows(time_ms, weights=None):
    """Rows of these moments and nothing else that a split asks for."""
    rows = SimpleNamespace(time_ms=np.array(time_ms))
    return LoggedRows(rows, weights)


def test_heads_learn_where_the_joined_rows_are_and_the_last_of_them_validate():
    whole = Split(0, 10, 20, 1_000, 1_000)
    split = logged_rows(range(100, 200)).split(whole, 0.1)
    assert (split.start_ms, split.heads_from_ms, split.valid_from_ms, split.test_from_ms) == (0, 100, 190, 1_000)


def test_rows_of_the_test_day_are_not_learned_from():
    split = logged_rows(range(100, 200)).split(Split(0, 10, 20, 150, 250), 0.1)
    assert split.valid_from_ms == 145
    with pytest.raises(InputError, match="train without --logged"):
        logged_rows(range(200, 300)).split(Split(0, 10, 20, 150, 250), 0.1)


def test_a_booster_of_joined_rows_is_the_booster_of_what_serving_logged(tmp_path):
    world = Feedback(tmp_path)
    random_feedback(world, np.random.default_rng(5), slates=120)
    world.join()
    table, videos = run(read_rows(world.blobs, [DAY])), VideoTable()
    for number in range(40):
        videos.publish(
            VideoPublished(event_id=f"p{number}", viewer_id="a", time_ms=1, video_id=f"v{number}", author_id="a",
                           length_ms=1_000, upload_ms=1)
        )  # fmt: skip
    joined = training_rows(table, videos, {f"u{n}": n for n in range(7)}, Vocabulary(["for_you"]))
    slates = [logged_slate(slate, detail) for _, slate, detail in run(world.slates.logged(0, 1_000))]
    served = np.concatenate([one.declared for one in sorted(slates, key=lambda one: one.slate.time_ms)])
    seen = joined.rows.matrix(np.arange(len(joined.rows)))
    assert seen.tobytes() == served.tobytes()
    labels = {"like": joined.rows.labels["like"]}
    config = HeadConfig(name="like", rounds=10, leaves=4, min_rows_in_leaf=10, min_positives=5)

    def trained(values):
        bins = SharedBins.fit(values)
        codes = bins.codes(values)
        heads = train_heads(codes, labels, codes, labels, NAMES, [config], weights=joined.weights, threads=1)
        return heads.heads["like"].model

    assert trained(seen) == trained(served)
