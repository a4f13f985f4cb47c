"""What can be wrong with a machine: one sentence for each, and nothing half done."""

import os
import socket
import stat
from pathlib import Path
from threading import Thread

import pytest

from core.errors import ConfigError, CorruptData, Unavailable
from deploy import postgres_server, programs
from deploy.libraries import libraries
from deploy.ports import LOOPBACK, free_port
from deploy.stack import Stack


@pytest.fixture
def stack(tmp_path, needs_redis):
    """A stack of which only Redis is started."""
    stack = Stack(tmp_path / "stack", cache=tmp_path / "cache")
    yield stack
    stack.remove()


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A folder that is all of PATH; nothing is installed elsewhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(programs, "_JAVA_HOMES", tmp_path / "none")
    monkeypatch.setattr(programs, "_POSTGRES_HOMES", tmp_path / "none")
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("server", "program", "package"),
    [
        ("kafka", "java", "openjdk-17-jre-headless"),
        ("cassandra", "java", "openjdk-17-jre-headless"),
        ("redis", "redis-server", "redis-server"),
        ("postgres", "initdb", "postgresql"),
    ],
)
def test_a_missing_program_says_what_to_install(tmp_path, bare, server, program, package):
    with pytest.raises(ConfigError, match=f"The program {program} is not on PATH; install {package} "):
        Stack(tmp_path / "stack", cache=tmp_path / "cache").up([server])


def test_a_missing_maven_says_what_to_install(tmp_path, bare):
    with pytest.raises(ConfigError, match="mvn is not on PATH; install maven "):
        libraries("kafka", tmp_path / "cache", print)


def test_another_java_is_refused(bare):
    script(bare / "java", "echo 'openjdk version \"25.0.1\"' >&2")
    with pytest.raises(ConfigError, match="is Java 25; install openjdk-17"):
        programs.java()


def test_a_download_that_fails_is_told_and_leaves_nothing(tmp_path, bare):
    script(bare / "mvn", "echo '[ERROR] no route to the repository'; exit 1")
    with pytest.raises(Unavailable, match=r"could not fetch kafka \(no route to the repository\)"):
        libraries("kafka", tmp_path / "cache", print)
    assert not list((tmp_path / "cache").glob("kafka-????????????????"))


def test_two_that_need_the_libraries_fetch_them_once(tmp_path, bare):
    calls = tmp_path / "calls"
    script(bare / "mvn", f'for last; do :; done; echo x >> {calls}; : > "${{last#-DoutputDirectory=}}/a.jar"')
    told, found = [], []
    threads = [
        Thread(target=lambda: found.append(libraries("kafka", tmp_path / "cache", told.append))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls.read_text().splitlines()) == 1 and len(told) == 1
    assert found[0] == found[2] and [jar.name for jar in found[0].iterdir()] == ["a.jar"]


def test_a_part_of_a_download_is_not_taken_for_all_of_it(tmp_path, bare):
    script(bare / "mvn", 'for last; do :; done; : > "${last#-DoutputDirectory=}/whole.jar"')
    whole = libraries("kafka", tmp_path / "cache", print)
    whole.rename(whole.with_name(whole.name + ".part"))
    (whole.with_name(whole.name + ".part") / "cut.jar").touch()
    assert [jar.name for jar in libraries("kafka", tmp_path / "cache", print).iterdir()] == ["whole.jar"]


def test_a_wanted_port_that_is_taken_is_refused(stack):
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"The port {port} for redis is taken"):
            stack.up(["redis"], {"redis": port})


def test_a_port_that_was_taken_meanwhile_is_replaced_by_a_free_one(stack):
    wanted = free_port("a wanted port", set())
    assert stack.up(["redis"], {"redis": wanted}).redis == f"redis://{LOOPBACK}:{wanted}/0"
    stack.down()
    with socket.create_server((LOOPBACK, wanted)):
        with pytest.raises(ConfigError, match=f"The port {wanted} of redis is taken"):
            stack.start("redis")
        assert stack.up(["redis"]).redis not in ("", f"redis://{LOOPBACK}:{wanted}/0")


def test_a_server_that_ends_at_once_says_why(stack):
    stack.up(["redis"])
    stack.down()
    manifest = next((stack.folder / "redis" / "data").rglob("*.manifest"))
    manifest.write_text("no manifest at all\n")
    with pytest.raises(
        Unavailable, match=r"redis ended while it started; the last lines of .*/redis/log: .*no manifest at all"
    ):
        stack.up(["redis"])


@pytest.mark.parametrize("content", [b"", b"\xff\x00 no json", b'{"port": "many"}', b'{"port": 1}'])
def test_a_damaged_record_is_named(stack, content):
    (stack.folder / "redis").mkdir(parents=True)
    file = stack.folder / "redis" / "server.json"
    file.write_bytes(content)
    with pytest.raises(CorruptData, match=f"The file {file} cannot be read"):
        stack.up(["redis"])
    file.unlink()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        Stack(tmp_path / "file" / "stack").up(["redis"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as another account")
def test_a_folder_that_postgres_may_not_enter_has_its_data_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(postgres_server, "_KEPT", tmp_path)
    (tmp_path / "closed").mkdir(mode=0o700)
    told = []
    data = postgres_server.PostgresServer(tell=told.append).data_folder(tmp_path / "closed")
    assert data.parent.parent == tmp_path and "may not enter" in told[0]
