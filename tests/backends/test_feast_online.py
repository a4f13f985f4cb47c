"""Feast and serving read and write the same bytes, in SQLite and in Redis."""

# isort: off
from features.feast_import import FeatureStore  # first: imported alone Feast takes twice as long
# isort: on

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from feast.data_source import PushMode
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from backends.redis.feature_store import RedisFeatureStore
from backends.redis.nodes import Nodes
from core.errors import ConfigError, CorruptData, InputError, SchemaMismatch, Unavailable
from core.settings import Settings
from features.definitions import schema_hash
from features.feast_fields import ENTITIES
from features.feast_offline import packed_rows, table_of
from features.feast_repo import apply, online_of, open_feast
from features.packed import pack_rows
from foryou.stores import STATE_FILE
from tests.features.feast_rows import packed_rows_of, random_rows, store_rows, stored_rows
from tests.integration import servers

pytestmark = pytest.mark.filterwarnings("ignore")
OFFSET = 41
APPLIED = datetime(2026, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)
APPLIED_US = 1_770_091_506_789_012


@dataclass
class Kept:
    """Where rows are kept: how Feast sees them, and how serving does."""

    store: FeatureStore
    put: Callable[[Any, int], None]
    rows: Callable[[str, list[str]], tuple[list[bytes | None], int]]


def in_sqlite(home) -> Kept:
    return Kept(
        store=apply(home),
        put=lambda packed, offset: store_rows(home, packed, offset),
        rows=lambda entity, ids: stored_rows(home, entity, ids),
    )


def in_redis(home) -> Kept:
    url, prefix = servers.require("redis").redis, servers.unique("feast") + ":"
    settings = Settings(backends="cluster", redis=url, redis_prefix=prefix)

    def at_once(work):
        async def run():
            nodes = Nodes(url, prefix=prefix)
            features = await RedisFeatureStore.open(nodes, schema_hash())
            try:
                return await work(features)
            finally:
                await nodes.close()

        return asyncio.run(run())

    async def both(features, entity, ids):
        return await features.read(entity, ids), await features.applied_offset()

    return Kept(
        apply(home, online_of(settings)),
        lambda packed, offset: at_once(lambda features: features.write(packed, offset)),
        lambda entity, ids: at_once(lambda features: both(features, entity, ids)),
    )


@pytest.fixture(scope="module", params=[in_sqlite, in_redis])
def opened(request, tmp_path_factory):
    kept = request.param(tmp_path_factory.mktemp("home"))
    yield kept
    kept.store.teardown()


@pytest.fixture
def kept(opened):
    opened.put(packed_rows_of(), OFFSET)
    return opened


@pytest.fixture
def store(kept):
    return kept.store


def all_fields(entity):
    return [f"{entity}:{field.name}" for field in ENTITIES[entity].fields]


def frame_of(entity, rows):
    return table_of(ENTITIES[entity], rows, 1_700_000_000_000, 1_700_000_000_000).to_pandas()


def key(entity_id):
    return EntityKey(join_keys=["viewer_id"], entity_values=[Value(string_val=entity_id)])


def write(store, entity_id, **values):
    view = store.get_feature_view("viewer")
    written = [(key(entity_id), values, APPLIED, None)]
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


def test_the_time_of_a_row_is_when_it_was_applied_to_the_microsecond(store):
    raw = packed_rows_of()["video"]["video0"]
    answer = store.get_online_features(["video:counts_6h_likes"], [{"video_id": "video0"}])
    found = answer.proto.results[1].event_timestamps[0]
    expected = int(np.frombuffer(raw, ENTITIES["video"].layout)[0]["applied_us"])
    assert found.seconds * 1_000_000 + found.nanos // 1_000 == expected


@pytest.mark.parametrize("entity", ["viewer", "video"])
def test_what_is_pushed_to_feast_is_what_serving_reads(kept, store, entity):
    rows = random_rows(entity, 6, seed=99)  # two of the six are new
    store.push(f"{entity}_push", frame_of(entity, rows), to=PushMode.ONLINE)
    assert kept.rows(entity, list(rows)) == (list(rows.values()), OFFSET)


def test_what_is_written_to_feast_is_what_serving_reads(kept, store):
    rows = random_rows("author", 2, seed=5)
    store.write_to_online_store("author", frame_of("author", rows))
    assert kept.rows("author", list(rows))[0] == list(rows.values())


def test_a_null_keeps_what_is_stored(kept, store):
    frame = frame_of("video", {"video0": packed_rows_of()["video"]["video0"]})
    frame = frame.astype({name: "Int64" for name in frame.columns if frame[name].dtype == np.int64})
    frame["totals_views"] = 12
    frame["totals_likes"] = pd.array([None], "Int64")
    store.write_to_online_store("video", frame)
    expected = np.frombuffer(packed_rows_of()["video"]["video0"], ENTITIES["video"].dtype).copy()
    expected["totals"][0, 0] = 12
    assert kept.rows("video", ["video0"])[0] == pack_rows(expected)


def test_some_fields_are_merged_into_the_row_and_a_new_row_starts_at_zero(kept, store):
    for name in ("viewer2", "new"):
        write(store, name, profile_region=Value(int32_val=7))
    dtype = ENTITIES["viewer"].dtype
    old = np.frombuffer(packed_rows_of()["viewer"]["viewer2"], dtype).copy()
    rows = np.concatenate([old, np.zeros(1, dtype)])
    rows["profile"][:, 0] = 7
    rows["applied_us"] = APPLIED_US  # the entries do not say, so it is their event time
    assert kept.rows("viewer", ["viewer2", "new"])[0] == pack_rows(rows)


def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(kept, store):
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
    assert kept.rows("viewer", ["viewer2"])[0] == [packed_rows_of()["viewer"]["viewer2"]]


def changed(place):
    row = bytearray(packed_rows_of()["viewer"]["viewer3"])
    row[place] ^= 1
    return bytes(row)


@pytest.mark.parametrize(
    ("row", "error", "said"),
    [
        (b"short", CorruptData, r"packed viewer row has 5 bytes where \d+ are due.*`foryou train`"),
        (changed(500), CorruptData, r"packed viewer row is not what was written .*`foryou train`"),
        (changed(10), CorruptData, r"checksum differs"),
        (changed(0), SchemaMismatch, r"packed viewer row was written under schema \w+ .*`foryou features backfill`"),
    ],
)
def test_a_row_that_is_not_one_of_ours_is_refused_with_what_to_do(kept, store, row, error, said):
    kept.put({"viewer": {"viewer3": row}}, OFFSET)
    with pytest.raises(error, match=said):
        store.get_online_features(["viewer:history_len"], [{"viewer_id": "viewer3"}])
    with pytest.raises(error, match=said):
        write(store, "viewer3", profile_region=Value(int32_val=7))


def test_fields_of_another_schema_are_not_pushed(kept, store):
    with pytest.raises(SchemaMismatch, match="that is to be written has schema"):
        write(store, "viewer2", schema=Value(int64_val=77))
    assert kept.rows("viewer", ["viewer2"])[0] == [packed_rows_of()["viewer"]["viewer2"]]


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


@pytest.mark.parametrize("place", [in_sqlite, in_redis])
def test_tearing_down_leaves_the_rows(tmp_path, place):
    kept = place(tmp_path)
    kept.put(packed_rows_of(), OFFSET)
    kept.store.teardown()
    row = packed_rows_of()["video"]["video0"]
    assert kept.rows("video", ["video0"]) == ([row], OFFSET)
    again = apply(tmp_path)  # where the rows are is remembered
    answer = again.get_online_features(all_fields("video"), [{"video_id": "video0"}]).to_dict()
    assert packed_rows(answer, "video")[0].tobytes() == row
    again.teardown()


def test_on_a_cluster_feast_and_serving_see_the_same_bytes(tmp_path):
    url, prefix = f"redis://127.0.0.1:{servers.require_redis_cluster()[0]}", servers.unique("feast") + ":"
    settings = Settings(backends="cluster", redis=url, redis_cluster=True, redis_prefix=prefix)
    store, rows = apply(tmp_path, online_of(settings)), random_rows("viewer", 6, seed=99)
    store.push("viewer_push", frame_of("viewer", rows), to=PushMode.ONLINE)

    async def read():
        nodes = Nodes(url, cluster=True, prefix=prefix)
        try:
            return await (await RedisFeatureStore.open(nodes, schema_hash())).read("viewer", list(rows))
        finally:
            await nodes.delete(await nodes.keys(""))
            await nodes.close()

    answer = store.get_online_features(all_fields("viewer"), [{"viewer_id": name} for name in rows]).to_dict()
    assert [record.tobytes() for record in packed_rows(answer, "viewer")] == list(rows.values())
    assert asyncio.run(read()) == list(rows.values())
    store.teardown()


def test_a_redis_that_is_away_is_told_in_one_sentence(tmp_path):
    settings = Settings(backends="cluster", redis="redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable, match=r"Redis at 127\.0\.0\.1:1 does not answer"):
        apply(tmp_path, online_of(settings))


def test_a_password_stays_out_of_the_configuration(tmp_path):
    settings = Settings(backends="cluster", redis="redis://:secret77@127.0.0.1:1/0", redis_prefix="p:")
    open_feast(tmp_path, online_of(settings))
    assert "secret77" not in (tmp_path / "feast" / "feature_store.yaml").read_text()


def test_a_damaged_configuration_is_refused_with_what_to_do(tmp_path):
    open_feast(tmp_path)
    (tmp_path / "feast" / "feature_store.yaml").write_text("online_store: [")
    with pytest.raises(CorruptData, match=r"feature_store\.yaml is damaged; delete it"):
        open_feast(tmp_path)
