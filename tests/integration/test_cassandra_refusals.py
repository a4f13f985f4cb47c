"""What the history says where Cassandra is away, has no keyspace, or a setting cannot be."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.query import BatchStatement, SimpleStatement

from backends.cassandra.history import CassandraHistory, ensure_schema
from backends.cassandra.rows import rows_of
from backends.cassandra.session import CassandraSession, IdempotentRetry, contact_points
from core.errors import ConfigError, ForyouError, Unavailable
from core.settings import Settings
from tests.contracts.events import impression, records
from tests.integration import servers
from tests.integration.cassandra_keyspaces import made, settings_of


@pytest.fixture(scope="module")
def address() -> str:
    return servers.require("cassandra").cassandra


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def refusal(settings: Settings, patience_s: float = 0) -> ForyouError:
    """What opening a store with these settings raises."""
    with pytest.raises(ForyouError) as raised:
        asyncio.run(CassandraHistory.open(settings, patience_s=patience_s))
    return raised.value


def test_a_server_that_is_away_is_named_in_a_sentence_after_some_attempts(closed_port: int) -> None:
    began = time.monotonic()
    error = refusal(Settings(cassandra=f"127.0.0.1:{closed_port}"), patience_s=2)
    assert isinstance(error, Unavailable)
    assert error.sentence == (
        f"Cassandra at 127.0.0.1:{closed_port} does not answer (connection refused); start it, or correct"
        " FORYOU_CASSANDRA."
    )
    assert 1 < time.monotonic() - began < 6


def test_a_port_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        error = refusal(Settings(cassandra=f"127.0.0.1:{silent.getsockname()[1]}"))
    assert isinstance(error, Unavailable)
    assert "does not answer (no answer in time)" in error.sentence
    assert time.monotonic() - began < 10


def test_a_missing_keyspace_is_named_with_what_makes_it(address: str) -> None:
    settings = settings_of(address)
    error = refusal(settings)
    assert isinstance(error, ConfigError)
    assert error.sentence == (
        f"Cassandra at {address} has no keyspace '{settings.cassandra_keyspace}' with this version's tables"
        f" (Keyspace '{settings.cassandra_keyspace}' does not exist); make them with `foryou stack init`, or correct"
        " FORYOU_CASSANDRA_KEYSPACE."
    )


def test_a_keyspace_with_tables_of_another_version_is_refused_and_completed(address: str) -> None:
    with made(settings_of(address)) as settings:
        session = CassandraSession.connect(settings)
        session.session.execute("DROP TABLE activity_hours")
        session.close()
        error = refusal(settings)
        assert isinstance(error, ConfigError)
        assert "table activity_hours does not exist" in error.sentence
        asyncio.run(ensure_schema(settings))  # a second time is no error
        asyncio.run(asyncio.run(CassandraHistory.open(settings)).close())


def test_a_keyspace_dropped_while_in_use_is_a_wrong_setting_and_no_outage(address: str) -> None:
    settings = settings_of(address)
    with made(settings):
        store = asyncio.run(CassandraHistory.open(settings))
    for call in (store.seen("ann"), store.record(records(impression(1)))):
        with pytest.raises(ConfigError, match=f"no keyspace '{settings.cassandra_keyspace}'"):
            asyncio.run(call)
    asyncio.run(store.close())


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("cassandra_read", "MOST", "FORYOU_CASSANDRA_READ is 'MOST', which is no consistency level; use ONE, TWO"),
        ("cassandra_write", "ANY", "FORYOU_CASSANDRA_WRITE is 'ANY', which is no consistency level"),
        ("cassandra_read", "EACH_QUORUM", "is for writes alone"),
        ("cassandra_keyspace", "a; DROP KEYSPACE b", "FORYOU_CASSANDRA_KEYSPACE is 'a; DROP KEYSPACE b'"),
        ("cassandra_keyspace", "", "FORYOU_CASSANDRA_KEYSPACE is ''"),
        ("cassandra", "", "FORYOU_CASSANDRA is empty"),
        ("cassandra", "localhost:port", "FORYOU_CASSANDRA has 'localhost:port'; write host:port"),
        ("cassandra", "localhost:99999", "FORYOU_CASSANDRA has 'localhost:99999'"),
    ],
)
def test_a_setting_that_cannot_be_is_named(setting: str, value: str, said: str) -> None:
    error = refusal(Settings(**{setting: value}))  # type: ignore[arg-type]
    assert isinstance(error, ConfigError)
    assert said in error.sentence


def test_a_host_that_does_not_exist_is_unavailable() -> None:
    assert "there is no such host" in refusal(Settings(cassandra="no-such-host.invalid:9042")).sentence


def test_contact_points_are_hosts_and_ports() -> None:
    assert contact_points("a:1, b ,[::1]:3") == [("a", 1), ("b", 9042), ("::1", 3)]


def test_a_level_that_too_few_replicas_can_keep_is_unavailable(address: str) -> None:
    with made(settings_of(address, cassandra_write="TWO")) as settings:
        store = asyncio.run(CassandraHistory.open(settings))
        with pytest.raises(Unavailable, match="too few replicas"):
            asyncio.run(store.record(records(impression(1))))
        asyncio.run(store.close())


def test_every_statement_of_the_history_may_be_repeated(address: str) -> None:
    with made(settings_of(address)) as settings:
        store = asyncio.run(CassandraHistory.open(settings))
        batches = list(store._batches(rows_of(records(impression(1))[0])))
        prepared = [*store._inserts.values(), *store._selects.values()]
        assert all(one.is_idempotent for one in (*batches, *prepared, store._selects["seen"].bind(("ann",))))
        asyncio.run(store.close())


def test_only_an_idempotent_statement_is_tried_again_and_not_for_ever() -> None:
    policy, one = IdempotentRetry(), ConsistencyLevel.ONE
    batch = BatchStatement()
    batch.is_idempotent = True
    again: list[Any] = [SimpleStatement("x", is_idempotent=True), batch]
    never: list[Any] = [SimpleStatement("x"), BatchStatement(), None]
    for query in (*again, *never):
        answers = [
            policy.on_read_timeout(query, one, 1, 0, False, retry_num=0)[0],
            policy.on_write_timeout(query, one, "SIMPLE", 1, 0, retry_num=0)[0],
            policy.on_unavailable(query, one, 2, 1, retry_num=0)[0],
            policy.on_request_error(query, one, OSError(), retry_num=0)[0],
        ]
        next_host, rethrow = policy.RETRY_NEXT_HOST, policy.RETHROW
        assert answers == ([policy.RETRY, policy.RETRY, next_host, next_host] if query in again else [rethrow] * 4)
        assert policy.on_request_error(query, one, OSError(), retry_num=2)[0] == policy.RETHROW
