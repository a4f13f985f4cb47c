"""The Feast repository is generated from the declarations, and is told about a training run."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core.errors import CorruptData, InputError, NotFound
from features.definitions import FEATURES, schema_hash
from features.feast_fields import ENTITIES
from features.feast_offline import feast_folder, offline_path, packed_rows, write_offline
from features.feast_repo import apply, open_feast, publish
from tests.features.feast_rows import packed_rows_of, random_rows, store_rows, stored_rows

pytestmark = pytest.mark.filterwarnings("ignore")
FIRST_MS, SECOND_MS = 1_700_000_000_000, 1_700_086_400_000


@pytest.fixture(scope="module")
def snapshots():
    return {FIRST_MS: packed_rows_of(seed=10), SECOND_MS: packed_rows_of(seed=20)}


@pytest.fixture(scope="module")
def home(tmp_path_factory, snapshots):
    folder = tmp_path_factory.mktemp("home")
    for event_time_ms, packed in snapshots.items():
        publish(folder, packed, event_time_ms, event_time_ms + 60_000)
    return folder


@pytest.fixture(scope="module")
def store(home):
    return open_feast(home)


def joined(store, features, times_ms, viewer="viewer1"):
    entities = pd.DataFrame(
        {
            "viewer_id": viewer,
            "video_id": "video2",
            "event_timestamp": pd.to_datetime(times_ms, unit="ms", utc=True),
        }
    )
    return store.get_historical_features(entities, features).to_df().sort_values("event_timestamp")


def test_each_view_has_every_raw_field_and_the_schema_hash(store):
    for name, rows in ENTITIES.items():
        view = store.get_feature_view(name)
        assert [field.name for field in view.features] == [field.name for field in rows.fields]
        assert view.tags["schema_hash"] == schema_hash()
        assert view.join_keys == [rows.key]


def test_the_ranking_service_documents_every_declared_feature(store):
    tags = store.get_feature_service("ranking").tags
    assert tags["schema_hash"] == schema_hash()
    assert len(tags) == len(FEATURES) + 1
    assert tags["feature:session_position"] == "float32, default 0, viewer: videos watched in this session"


def test_services_read_what_their_use_needs(store):
    def names(service):
        projections = store.get_feature_service(service).feature_view_projections
        return {(part.name, field.name) for part in projections for field in part.features}

    assert ("viewer", "pair_count") in names("ranking")
    assert not any(field.startswith("totals") for _, field in names("ranking"))
    assert ("viewer", "history_video") in names("retrieval")
    assert names("display") == {("video", f"totals_{t}") for t in ("views", "likes", "comments", "shares", "saves")}


def test_applying_again_changes_nothing(home, store):
    before = {view.name: view.features for view in store.list_feature_views()}
    again = apply(home)
    assert {view.name: view.features for view in again.list_feature_views()} == before
    assert len(again.list_feature_services()) == 3
    assert len(again.list_entities()) == len(ENTITIES)


def test_a_damaged_registry_is_refused_with_what_to_do(tmp_path):
    feast_folder(tmp_path).mkdir()
    (feast_folder(tmp_path) / "registry.db").write_bytes(b"garbage")
    with pytest.raises(CorruptData, match=r"registry\.db is damaged; delete it.*`foryou train`"):
        apply(tmp_path)


def test_a_home_may_be_moved(tmp_path, snapshots):
    publish(tmp_path / "old", snapshots[FIRST_MS], FIRST_MS, FIRST_MS)
    store_rows(tmp_path / "old", snapshots[FIRST_MS], 1)
    (tmp_path / "old").rename(tmp_path / "new")
    moved = open_feast(tmp_path / "new")
    assert joined(moved, ["viewer:steps_1d"], [FIRST_MS])["steps_1d"].notna().all()
    answer = moved.get_online_features(["viewer:steps_1d"], [{"viewer_id": "viewer1"}]).to_dict()
    assert answer["steps_1d"] != [None]


def test_a_join_takes_the_state_as_of_each_moment(store, snapshots):
    moments = [FIRST_MS, SECOND_MS - 1, SECOND_MS, SECOND_MS + 10**9]
    expected = [FIRST_MS, FIRST_MS, SECOND_MS, SECOND_MS]
    frame = joined(store, [f"viewer:{field.name}" for field in ENTITIES["viewer"].fields], moments)
    records = packed_rows(frame, "viewer")
    assert [r.tobytes() for r in records] == [snapshots[moment]["viewer"]["viewer1"] for moment in expected]


def test_a_join_over_two_entities(store, snapshots):
    frame = joined(store, ["viewer:steps_1d", "video:steps_6h"], [SECOND_MS - 1])
    for entity, column in (("viewer", "steps_1d"), ("video", "steps_6h")):
        key = {"viewer": "viewer1", "video": "video2"}[entity]
        record = packed_one(entity, snapshots[FIRST_MS][entity][key])
        assert frame[column].tolist() == [record[column]]


def packed_one(entity, raw):
    return np.frombuffer(raw, ENTITIES[entity].layout)[0]


def test_what_was_not_known_yet_joins_to_nothing(store, snapshots):
    entities = pd.DataFrame(
        {
            "viewer_id": ["nobody", "viewer1", "viewer0"],
            "event_timestamp": pd.to_datetime([SECOND_MS, FIRST_MS - 1, SECOND_MS], unit="ms", utc=True),
        }
    )
    names = [f"viewer:{field.name}" for field in ENTITIES["viewer"].fields]
    table = store.get_historical_features(entities, names).to_arrow()
    assert table["viewer_id"].to_pylist() == ["nobody", "viewer1", "viewer0"]
    records = packed_rows(table.to_pydict(), "viewer")
    nothing = bytes(ENTITIES["viewer"].dtype.itemsize)
    assert [r.tobytes() for r in records] == [nothing, nothing, snapshots[SECOND_MS]["viewer"]["viewer0"]]


def test_a_join_without_moments_is_refused(store):
    with pytest.raises(InputError, match="event_timestamp"):
        store.get_historical_features(pd.DataFrame({"viewer_id": ["viewer1"]}), ["viewer:steps_1d"])


def test_a_join_before_the_first_snapshot_says_what_writes_one(tmp_path):
    with pytest.raises(NotFound, match="`foryou train`"):
        joined(apply(tmp_path), ["viewer:steps_1d"], [FIRST_MS])


def test_feast_copies_snapshots_back_to_serving(tmp_path, snapshots):
    publish(tmp_path, snapshots[FIRST_MS], FIRST_MS, FIRST_MS)
    store_rows(tmp_path, packed_rows_of(seed=30), 3)
    moments = [pd.Timestamp(at, unit="ms", tz="UTC").to_pydatetime() for at in (FIRST_MS - 1, FIRST_MS + 1)]
    open_feast(tmp_path).materialize(*moments, feature_views=["author"])
    expected = snapshots[FIRST_MS]["author"]
    assert stored_rows(tmp_path, "author", list(expected)) == (list(expected.values()), 3)


def test_the_same_moment_replaces_its_snapshot(tmp_path):
    for seed in (1, 2):
        write_offline(tmp_path, {"viewer": random_rows("viewer", 2, seed)}, FIRST_MS, FIRST_MS + seed)
    folder = feast_folder(tmp_path) / offline_path("viewer")
    assert [file.name for file in folder.iterdir()] == [f"{FIRST_MS:015d}.parquet"]
    assert len(pd.read_parquet(folder)) == 2
    assert sorted(feast_folder(tmp_path).glob("offline/.*")) == []


def test_an_entity_without_rows_still_has_a_snapshot(tmp_path):
    write_offline(tmp_path, {}, FIRST_MS, FIRST_MS)
    frame = pd.read_parquet(feast_folder(tmp_path) / offline_path("trend"))
    assert len(frame) == 0
    assert {"trend_id", "event_timestamp", "created", "counts_2d_ratio"} <= set(frame.columns)


def test_a_row_of_another_size_is_refused(tmp_path):
    with pytest.raises(CorruptData, match=r"packed video row has 3 bytes where \d+ are due.*`foryou train`"):
        write_offline(tmp_path, {"video": {"v": b"abc"}}, FIRST_MS, FIRST_MS)


def test_packing_asks_for_every_field():
    with pytest.raises(InputError, match="steps_2d first"):
        fields = ENTITIES["video"].fields
        packed_rows({field.name: [1] for field in fields if not field.name.startswith("steps_2d")}, "video")


def test_serving_does_not_import_feast():
    code = "import sys, foryou.bootstrap; sys.exit('feast' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_feast_does_not_take_the_metrics_of_the_process_with_it():
    program = (
        "import typeguard; checking = typeguard.typechecked\n"
        "import features.feast_repo\n"
        "assert typeguard.typechecked is checking\n"
        "from prometheus_client import CollectorRegistry\n"
        "from serving.metrics import Metrics\n"
        "metrics = Metrics(CollectorRegistry())\n"
        "metrics.stage('filter', 'seen', 2_000_000)\n"
        "print('stage=\"seen\"} 0.002' in metrics.exposition().decode())\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "True", result.stderr
