"""Feast and serving read and write the same bytes."""

import asyncio
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from feast.data_source import PushMode
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from core.errors import ConfigError, CorruptData, InputError, SchemaMismatch
from features.feast_fields import ENTITIES
from features.feast_offline import packed_rows, table_of
from features.feast_repo import apply
from foryou.stores import STATE_FILE
from tests.features.feast_rows import packed_rows_of, random_rows, store_rows, stored_rows

pytestmark = pytest.mark.filterwarnings("ignore")
OFFSET = 41


@pytest.fixture(scope="module")
def applied(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return home, apply(home)


@pytest.fixture
def home(applied):
    store_rows(applied[0], packed_rows_of(), OFFSET)
    return applied[0]


@pytest.fixture
def store(applied, home):
    return applied[1]


def all_fields(entity):
    return [f"{entity}:{field.name}" for field in ENTITIES[entity].fields]


def frame_of(entity, rows):
    return table_of(ENTITIES[entity], rows, 1_700_000_000_000, 1_700_000_000_000).to_pandas()


def key(entity_id):
    return EntityKey(join_keys=["viewer_id"], entity_values=[Value(string_val=entity_id)])


def write(store, entity_id, **values):
    view = store.get_feature_view("viewer")
    written = [(key(entity_id), values, datetime.now(UTC), None)]
    store._get_provider().online_write_batch(store.config, view, written, None)


@pytest.mark.parametrize("entity", ["viewer", "video", "author", "trend"])
def test_feast_answers_with_the_packed_row_field_by_field(store, entity):
    raw = packed_rows_of()[entity]
    answer = store.get_online_features(all_fields(entity), [{f"{entity}_id": name} for name in raw]).to_dict()
    for row, name in enumerate(raw):
        record = np.frombuffer(raw[name], ENTITIES[entity].layout)[0]
        assert {field: values[row] for field, values in answer.items() if not field.endswith("_id")} == {
            field: record[field].tolist() for field in record.dtype.names
        }
    assert [record.tobytes() for record in packed_rows(answer, entity)] == list(raw.values())


def test_an_unknown_id_has_nulls_and_packs_to_an_empty_row(store):
    answer = store.get_online_features(all_fields("video"), [{"video_id": "nothing"}, {"video_id": "video1"}]).to_dict()
    assert all(values[0] is None for field, values in answer.items() if field != "video_id")
    records = packed_rows(answer, "video")
    assert records[0] == np.zeros(1, ENTITIES["video"].dtype)[0]
    assert records[1].tobytes() == packed_rows_of()["video"]["video1"]


def test_one_service_call_reads_all_entities(store):
    row = {"viewer_id": "viewer0", "video_id": "video3", "author_id": "author1", "trend_id": "trend2"}
    service = store.get_feature_service("ranking")
    answer = store.get_online_features(service, [row], full_feature_names=True).to_dict()
    author = np.frombuffer(packed_rows_of()["author"]["author1"], ENTITIES["author"].layout)[0]
    assert answer["author__counts_2d_skips"] == [author["counts_2d_skips"]]
    assert len(packed_rows(answer, "viewer", "viewer__")) == 1


def test_reading_inside_an_event_loop(store):
    async def both():
        rows = [{"viewer_id": "viewer0"}]
        now = store.get_online_features(["viewer:history_video"], rows).to_dict()
        return now, (await store.get_online_features_async(["viewer:history_video"], rows)).to_dict()

    now, later = asyncio.run(both())
    assert now == later


def test_the_time_of_a_row_is_that_of_its_last_update(store):
    raw = packed_rows_of()["video"]["video0"]
    answer = store.get_online_features(["video:counts_6h_likes"], [{"video_id": "video0"}])
    # A step of the six-hour half-life is 6 * 3600 / 64 = 337.5 seconds
    expected = int(np.frombuffer(raw, ENTITIES["video"].layout)[0]["steps_6h"]) * 337.5
    found = answer.proto.results[1].event_timestamps[0]
    assert found.seconds + found.nanos / 1e9 == expected


@pytest.mark.parametrize("entity", ["viewer", "video"])
def test_what_is_pushed_to_feast_is_what_serving_reads(home, store, entity):
    rows = random_rows(entity, 6, seed=99)  # two of the six are new
    store.push(f"{entity}_push", frame_of(entity, rows), to=PushMode.ONLINE)
    assert stored_rows(home, entity, list(rows)) == (list(rows.values()), OFFSET)


def test_what_is_written_to_feast_is_what_serving_reads(home, store):
    rows = random_rows("author", 2, seed=5)
    store.write_to_online_store("author", frame_of("author", rows))
    assert stored_rows(home, "author", list(rows))[0] == list(rows.values())


def test_a_null_keeps_what_is_stored(home, store):
    frame = frame_of("video", {"video0": packed_rows_of()["video"]["video0"]})
    frame = frame.astype({name: "Int64" for name in frame.columns if frame[name].dtype == np.int64})
    frame["totals_views"] = 12
    frame["totals_likes"] = pd.array([None], "Int64")
    store.write_to_online_store("video", frame)
    expected = np.frombuffer(packed_rows_of()["video"]["video0"], ENTITIES["video"].layout).copy()
    expected["totals_views"] = 12
    assert stored_rows(home, "video", ["video0"])[0] == [expected.tobytes()]


def test_some_fields_are_merged_into_the_row_and_a_new_row_starts_at_zero(home, store):
    for name in ("viewer2", "new"):
        write(store, name, profile_region=Value(int32_val=7))
    old = np.frombuffer(packed_rows_of()["viewer"]["viewer2"], ENTITIES["viewer"].layout).copy()
    fresh = np.zeros(1, ENTITIES["viewer"].layout)
    old["profile_region"] = fresh["profile_region"] = 7
    assert stored_rows(home, "viewer", ["viewer2", "new"])[0] == [old.tobytes(), fresh.tobytes()]


def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(home, store):
    short = Value()
    short.int64_list_val.val.extend([1, 2, 3])
    for name, value in (
        ("history_time_ms", short),
        ("profile_region", Value(int64_val=2**40)),
        ("profile_region", Value(double_val=1.5)),
        ("profile_region", Value(string_val="north")),
    ):
        with pytest.raises(InputError, match=name):
            write(store, "viewer2", history_len=Value(int64_val=1), **{name: value})
    assert stored_rows(home, "viewer", ["viewer2"])[0] == [packed_rows_of()["viewer"]["viewer2"]]


def test_a_row_of_another_size_is_refused_with_what_to_do(home, store):
    store_rows(home, {"viewer": {"viewer3": b"short"}}, OFFSET)
    with pytest.raises(CorruptData, match=r"packed viewer row has 5 bytes where \d+ are due.*`foryou train`"):
        store.get_online_features(["viewer:history_len"], [{"viewer_id": "viewer3"}])


def test_rows_of_another_schema_are_refused_with_what_to_do(tmp_path):
    from backends.sqlite.database import Database
    from backends.sqlite.feature_store import SqliteFeatureStore

    SqliteFeatureStore(Database(tmp_path / STATE_FILE, durable=False), "older")
    with pytest.raises(SchemaMismatch, match=r"older.*`foryou train`"):
        apply(tmp_path)


def test_a_key_that_is_no_string_is_refused(store):
    view, keys = store.get_feature_view("viewer"), [EntityKey(entity_values=[Value(int64_val=3)])]
    with pytest.raises(ConfigError, match="one string"):
        store._get_provider().online_read(store.config, view, keys)


def test_a_view_that_was_not_generated_is_refused(store):
    view = store.get_feature_view("viewer")
    view.tags = {}
    with pytest.raises(ConfigError, match="schema_hash"):
        store._get_provider().online_read(store.config, view, [key("viewer0")])


def test_tearing_down_leaves_the_rows(tmp_path):
    store_rows(tmp_path, packed_rows_of(), OFFSET)
    apply(tmp_path).teardown()
    row = packed_rows_of()["video"]["video0"]
    assert stored_rows(tmp_path, "video", ["video0"]) == ([row], OFFSET)
    answer = apply(tmp_path).get_online_features(all_fields("video"), [{"video_id": "video0"}]).to_dict()
    assert packed_rows(answer, "video")[0].tobytes() == row
