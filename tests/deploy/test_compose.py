"""The compose file is one that Docker reads, and sets what the local stack sets."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# What differs by nature: names inside the containers, and the small machine of a developer.
OF_THE_PLACE = {"node.id", "listeners", "controller.quorum.voters", "log.dirs"}
OF_THE_MACHINE = {
    "num.network.threads",
    "num.io.threads",
    "num.recovery.threads.per.data.dir",
    "background.threads",
    "broker.session.timeout.ms",
    "broker.heartbeat.interval.ms",
}


def services():
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def lines(path, separator):
    """The settings of a file as pairs, without those that are filled in at the start."""
    rows = (line.split(separator, 1) for line in (DEPLOY / path).read_text().splitlines() if not line.startswith("#"))
    return {row[0].strip(): row[1].strip() for row in rows if len(row) == 2 and "${" not in row[1]}


def compose():
    """Docker's own command, or the older program, which needs no engine either to read a file; None without both."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    return None


def test_docker_reads_it():
    command = compose()
    if command is None:
        pytest.skip("there is no docker compose here")
    command += ["-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_it_has_the_same_servers_on_loopback_only():
    assert list(services()) == ["kafka", "cassandra", "redis", "postgres"]
    for service in services().values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert "healthcheck" in service and service["volumes"]


def test_kafka_has_the_settings_of_the_stack():
    given = services()["kafka"]["environment"]
    for name, value in lines("kafka/server.properties", "=").items():
        if name not in OF_THE_PLACE | OF_THE_MACHINE:
            assert given[f"KAFKA_{name.upper().replace('.', '_')}"] == value, name


def test_cassandra_acknowledges_what_is_on_the_disk():
    assert lines("cassandra/cassandra.yaml", ":")["commitlog_sync"] == "batch"
    assert "commitlog_sync: batch" in services()["cassandra"]["entrypoint"][-1]


@pytest.mark.parametrize(
    ("service", "path", "sign"), [("redis", "redis/redis.conf", " "), ("postgres", "postgres/postgresql.conf", "=")]
)
def test_redis_and_postgres_write_as_the_stack_does(service, path, sign):
    command = services()[service]["command"]
    shared = {"appendonly", "appendfsync", "save", "maxmemory-policy", "fsync", "synchronous_commit", "max_wal_size"}
    settings = {name: value for name, value in lines(path, sign).items() if name in shared}
    assert settings
    for name, value in settings.items():
        assert f"--{name} {value}" in command or f"-c {name}={value}" in command, name
