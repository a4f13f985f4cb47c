"""What an operator of a cluster can do wrong: one sentence, an exit code, nothing made at home, nothing lost."""

import asyncio
import os
import signal
import socket
import threading
import time
from dataclasses import replace

import pytest

from backends.kafka.topics import ensure_topics
from backends.sqlite.partition_state import SqlitePartitionStates
from core.ports import Advance
from core.settings import Settings
from core.topics import TOPICS, USER_INTERACTION
from foryou.cluster import initialise
from tests.integration import servers
from tests.integration.cassandra_keyspaces import made
from tests.integration.postgres_databases import Databases
from tests.integration.refused import Commands
from tests.integration.running_cluster import RunningCluster
from tests.integration.trained_cluster import databases_of

STARTING = (["work", "features"], ["train"], ["stack", "init"], ["world"], ["features", "skew"])
WORK = ("work", "features")


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """The settings of a cluster that has its topics, keyspace and tables."""
    addresses = servers.require("kafka", "cassandra", "redis", "postgres")
    with databases_of(addresses) as addresses:
        told = RunningCluster(tmp_path_factory.mktemp("made"), addresses, servers.unique("r")).settings()
        with made(Settings(**told)) as settings:
            initialise(settings)
            yield told


@pytest.fixture
def foryou(ready, capsys, monkeypatch):
    return Commands(capsys, monkeypatch, ready)


@pytest.fixture
def home(tmp_path):
    """A folder that is not there yet."""
    return tmp_path / "home"


@pytest.fixture
def closed():
    """An address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


# ---------------------------------------------------------------------------------- servers that are away


@pytest.mark.parametrize("command", STARTING, ids=" ".join)
def test_an_unreachable_broker_is_tried_again_for_a_while_and_then_named(foryou, home, closed, command):
    began = time.monotonic()
    said = foryou(*command, "--home", home, kafka=closed)
    said.refusal(6, f"Kafka at {closed} did not answer for 1 s", "FORYOU_KAFKA")
    assert time.monotonic() - began > 0.5
    assert not home.exists()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("cassandra", "{closed}", "FORYOU_CASSANDRA"),
        ("redis", "redis://{closed}/0", "does not answer"),
        ("postgres", "postgresql://foryou:foryou@{closed}/foryou", "does not answer"),
    ],
)
def test_any_other_server_that_is_away_is_named_too(foryou, home, closed, setting, value, said):
    began = time.monotonic()
    foryou(*WORK, "--home", home, **{setting: value.format(closed=closed)}).refusal(6, closed, said)
    assert 0.5 < time.monotonic() - began < 12
    assert not home.exists()


def test_a_broker_that_comes_back_while_it_is_waited_for_is_used(foryou, home, ready):
    host, port = ready["kafka"].split(":")
    with socket.create_server(("127.0.0.1", 0)) as late:
        address = f"127.0.0.1:{late.getsockname()[1]}"
    threading.Timer(1.5, _forward, (address, (host, int(port)))).start()
    # It is reached there, says under which address it wants to be asked, and lacks the topics of another prefix.
    foryou(*WORK, "--home", home, kafka=address, kafka_prefix="none.", start_patience_s=20).refusal(4, "no topic")


def test_a_worker_that_still_waits_for_its_servers_ends_when_it_is_told_to(foryou, home, closed):
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        said = foryou(*WORK, "--home", home, kafka=closed, start_patience_s=120)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert said.code == 0 and time.monotonic() - began < 15
    assert not home.exists()


# ---------------------------------------------------------------------------------- servers that are not set up


@pytest.mark.parametrize("command", STARTING[:2], ids=" ".join)
def test_topics_that_were_never_made_say_what_makes_them(foryou, home, command):
    foryou(*command, "--home", home, kafka_prefix=servers.unique("none") + ".").refusal(4, "no topic", "stack init")
    assert not home.exists()


@pytest.mark.parametrize("command", [["work", "features"], ["stack", "init"]], ids=" ".join)
def test_a_topic_with_fewer_partitions_than_the_profile_is_refused(foryou, home, ready, command):
    prefix = servers.unique("few") + "."
    few = replace(TOPICS[USER_INTERACTION], partitions={"spec": 2, "local": 2})
    asyncio.run(ensure_topics(Settings(**ready | {"kafka_prefix": prefix}), [few]))
    said = foryou(*command, "--home", home, kafka_prefix=prefix)
    said.refusal(4, f"{prefix}user.interaction with 2 partitions", "needs 4", "FORYOU_KAFKA_PROFILE")
    assert not home.exists()


def test_a_cassandra_without_the_keyspace_says_what_makes_it(foryou, home):
    said = foryou(*WORK, "--home", home, cassandra_keyspace="never_made")
    said.refusal(4, "no keyspace 'never_made'", "stack init")
    assert not home.exists()


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("empty", "has not our tables; run `foryou stack init`"),
        ("missing", "make it with createdb"),
        ("password", "refuses user 'foryou'"),
    ],
)
def test_a_postgresql_that_is_not_ready(foryou, home, ready, database, said):
    databases = Databases(ready["postgres"])
    url = databases.url("never_made")
    if database == "empty":
        url = asyncio.run(databases.empty()).postgres
    elif database == "password":
        url = ready["postgres"].replace("foryou:foryou@", "foryou:secret-mistake@")
    try:
        sentence = foryou(*WORK, "--home", home, postgres=url).refusal(4, said)
        assert "secret" not in sentence
    finally:
        asyncio.run(databases.close())
    assert not home.exists()


# ---------------------------------------------------------------------------------- settings that cannot be


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("backends", "bogus"),
        ("kafka", "nonsense"),
        ("kafka", ""),
        ("kafka", "127.0.0.1:port"),
        ("kafka_profile", "huge"),
        ("cassandra", "127.0.0.1:port"),
        ("cassandra_keyspace", "a; DROP KEYSPACE b"),
        ("redis", "http://127.0.0.1"),
        ("redis_prefix", "{a}"),
        ("postgres", "nonsense"),
        ("start_patience_s", "-1"),
    ],
)
def test_a_setting_that_cannot_be_is_named(foryou, home, setting, value):
    began = time.monotonic()
    foryou(*WORK, "--home", home, **{setting: value}).refusal(4, f"FORYOU_{setting.upper()}")
    assert time.monotonic() - began < 8
    assert not home.exists()


def test_an_unknown_role_is_told_before_any_server_is_waited_for(foryou, home, closed):
    said = foryou(*WORK, "--role", "viewer", "--home", home, kafka=closed, start_patience_s=60)
    said.refusal(2, "no role 'viewer'", "viewers", "uploads")
    assert not home.exists()


@pytest.mark.parametrize("command", [["work", "features"], ["stack", "init"]], ids=" ".join)
def test_without_a_cluster_in_the_settings_nothing_is_guessed(foryou, home, command):
    foryou(*command, "--home", home, backends="embedded").refusal(4, "FORYOU_BACKENDS=cluster")
    assert not home.exists()


# ---------------------------------------------------------------------------------- homes


def test_states_of_another_log_are_not_counted_on(foryou, home):
    states = SqlitePartitionStates(home / "work")
    for partition in range(4):
        state = states.open(f"viewer-{partition}")
        state.commit(Advance(1_000_000))
        state.close()
    said = foryou(*WORK, "--role", "viewers", "--home", home)
    lines = said.err.strip().splitlines()
    assert said.code == 4 and "Traceback" not in said.err, said.err
    assert "includes offset 1000000 and its partition ends at" in lines[-1] and "another log" in lines[-1]
    assert states.offset("viewer-0") == 1_000_000


def _forward(address, to):
    """Listen at an address for a while, and pass every connection on."""
    host, port = address.split(":")
    with socket.create_server((host, int(port))) as listener:
        listener.settimeout(25)
        for _ in range(12):
            try:
                near, _ = listener.accept()
            except TimeoutError:
                return
            far = socket.create_connection(to)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(source, target):
    try:
        while raw := source.recv(65_536):
            target.sendall(raw)
    except OSError:
        pass
    finally:
        for end in (source, target):
            end.close()
