"""The history on a real Cassandra keeps the contracts of its ports, in the tables of the specification."""

import asyncio
import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.cassandra.schema import LIFE_S, TABLES
from core.events import Report, Watch
from core.history import Interactions
from core.ports import HistoryStore
from core.settings import Settings
from tests.contracts.events import impression, like, records
from tests.contracts.history_store import HistoryStoreContract, fresh
from tests.contracts.interactions import InteractionsContract, moment
from tests.integration import servers
from tests.integration.cassandra_keyspaces import Opened, made, settings_of


@pytest.fixture(scope="module")
def keyspace() -> Iterator[Settings]:
    with made(settings_of(servers.require("cassandra").cassandra)) as settings:
        yield settings


@pytest.fixture
def opened(keyspace: Settings) -> Iterator[Opened]:
    stores = Opened(keyspace)
    yield stores
    stores.close()


class TestCassandraHistory(HistoryStoreContract):
    @pytest.fixture(autouse=True)
    def stores(self, opened: Opened) -> None:
        self.opened = opened

    def open_history(self, folder: Path) -> HistoryStore:
        return self.opened.open()


class TestCassandraInteractions(InteractionsContract):
    @pytest.fixture(autouse=True)
    def stores(self, opened: Opened) -> None:
        self.opened = opened

    def open_interactions(self, folder: Path) -> Interactions:
        return self.opened.open()


class Cql:
    """Plain CQL in the keyspace."""

    def __init__(self, opened: Opened) -> None:
        self.store = opened.open()
        self._session = self.store._session

    def rows(self, cql: str, *values: Any) -> list[Any]:
        return list(self._session.session.execute(self._session.prepare(cql).bind(values)))


@pytest.fixture
def cql(opened: Opened) -> Cql:
    return Cql(opened)


def test_the_tables_have_the_columns_and_keys_of_the_specification(cql: Cql, keyspace: Settings) -> None:
    found: dict[str, dict[str, str]] = {}
    kinds: dict[str, dict[str, list[str]]] = {}
    query = "SELECT table_name, column_name, type, kind, position FROM system_schema.columns WHERE keyspace_name = ?"
    for table, column, type_, kind, _ in sorted(cql.rows(query, keyspace.cassandra_keyspace), key=lambda row: row[4]):
        found.setdefault(table, {})[column] = type_
        kinds.setdefault(table, {}).setdefault(kind, []).append(column)
    assert found.keys() == TABLES.keys()
    assert found["watch_history"] == {
        "user_id": "text", "watched_at": "timestamp", "video_id": "text", "watch_duration_sec": "int",
        "completed": "boolean",
    }  # fmt: skip
    assert kinds["watch_history"]["partition_key"] + kinds["watch_history"]["clustering"] == [
        "user_id", "watched_at", "video_id",
    ]  # fmt: skip
    assert kinds["user_interactions"] == {
        "partition_key": ["user_id", "month"],
        "clustering": ["interaction_time", "interaction_type", "video_id", "event_id"],
        "regular": ["metadata"],
    }
    assert kinds["activity_logs"] == {
        "partition_key": ["user_id", "log_date"], "clustering": ["hour", "activity_type", "event_id"],
    }  # fmt: skip


def test_every_table_is_explained_and_all_but_reactions_forget_after_ninety_days(cql: Cql, keyspace: Settings) -> None:
    query = "SELECT table_name, default_time_to_live, comment FROM system_schema.tables WHERE keyspace_name = ?"
    rows = cql.rows(query, keyspace.cassandra_keyspace)
    assert {table for table, life_s, _ in rows if life_s == LIFE_S == 90 * 86_400} == TABLES.keys() - {"reactions"}
    assert all(len(comment) > 40 for _, _, comment in rows)


def test_a_row_lives_ninety_days_from_its_writing_however_old_its_event_is(cql: Cql) -> None:
    ann = fresh("ann")
    asyncio.run(cql.store.record(records(impression(1, ann))))  # of April 2022
    query = "SELECT ttl(metadata) FROM user_interactions WHERE user_id = ? AND month = '2022-04'"
    assert LIFE_S - 600 <= cql.rows(query, ann)[0][0] <= LIFE_S


def test_a_watch_is_a_row_of_watch_history_and_its_metadata_hold_the_rest(cql: Cql) -> None:
    ann, at = fresh("ann"), moment("2026-02-28T23:59:59.999")
    seen = Watch(
        event_id="w", viewer_id=ann, video_id="v", slate_id="s", time_ms=at, play_ms=9_500, length_ms=10_000,
        viewer_region="CH", catalogue_offset=7,
    )  # fmt: skip
    left = Watch(event_id="x", viewer_id=ann, video_id="u", time_ms=at + 1, play_ms=9_499, length_ms=10_000)
    asyncio.run(cql.store.record(records(seen, left)))
    rows = cql.rows(
        "SELECT video_id, watched_at, watch_duration_sec, completed FROM watch_history WHERE user_id = ?", ann
    )
    assert rows == [
        ("u", datetime(2026, 3, 1), 9, False),
        ("v", datetime(2026, 2, 28, 23, 59, 59, 999_000), 9, True),
    ]
    [(metadata,)] = cql.rows("SELECT metadata FROM user_interactions WHERE user_id = ? AND month = '2026-02'", ann)
    key = {"kind": "watch", "event_id": "w", "viewer_id": ann, "video_id": "v", "time_ms": at}
    assert msgspec.convert({**key, **json.loads(metadata)}, Watch) == seen
    logs = cql.rows("SELECT hour, activity_type, event_id FROM activity_logs WHERE user_id = ? AND log_date = ?", ann,
                    date(2026, 2, 28))  # fmt: skip
    assert logs == [(23, "watch", "w")]


def test_an_event_too_large_for_a_batch_is_written_by_itself(cql: Cql) -> None:
    ann = fresh("ann")
    report = Report(event_id="r", viewer_id=ann, video_id="v", time_ms=moment("2026-03-01"), reason="x" * 900_000)
    asyncio.run(cql.store.record(records(like(1, ann), report, impression(2, ann))))
    assert len(asyncio.run(cql.store.interactions(ann))) == 3


def test_a_deleted_viewer_leaves_no_reaction(cql: Cql) -> None:
    ann = fresh("ann")
    asyncio.run(cql.store.record(records(like(1, ann))))
    cql.rows("DELETE FROM reactions WHERE user_id = ?", ann)
    assert asyncio.run(cql.store.reactions(ann)).liked == set()
