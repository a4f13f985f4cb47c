"""How tests ask for servers: what they get, and what a machine without them sees."""

import os
import re
from pathlib import Path

import pytest

from deploy import processes
from deploy.stack import Stack
from tests.integration import servers


def test_a_laptop_without_servers_skips_and_says_why(monkeypatch, tmp_path):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv(servers.KEPT, str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=re.escape(f"redis do not run in {tmp_path}")):
        servers.require("redis")


def test_ci_without_servers_fails(monkeypatch, tmp_path):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv(servers.KEPT, str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="the real servers are needed in CI: redis"):
        servers.require("redis")


def test_a_run_has_one_stack_for_all_workers(monkeypatch, needs_redis):
    monkeypatch.delenv(servers.KEPT, raising=False)
    address = servers.require("redis").redis
    shared = Path(os.environ[servers.OF_THE_RUN]) / "shared" / "settings.env"
    assert f"export FORYOU_REDIS={address}\n" in shared.read_text()


def test_a_stack_that_runs_already_is_used(monkeypatch, needs_redis):
    kept = servers.stack_of_its_own("kept")
    address = kept.up(["redis"]).redis
    monkeypatch.setenv(servers.KEPT, str(kept.folder))
    assert servers.require("redis").redis == address


def test_the_servers_of_a_run_that_was_killed_end_with_the_next(tmp_path, needs_redis):
    lost, alive = tmp_path / "foryou-test-stacks-lost", tmp_path / "foryou-test-stacks-alive"
    for folder, mark in ((lost, "1"), (alive, processes.mark(os.getpid()))):
        Stack(folder / "shared").up(["redis"])
        (folder / "owner").write_text(f"{os.getpid()} {mark}")
    pid = Stack(lost / "shared").node("redis").pid()
    servers.end_lost_runs(tmp_path)
    assert not lost.exists() and not processes.mark(pid)
    assert Stack(alive / "shared").node("redis").pid()
    Stack(alive / "shared").remove()


def test_names_are_unique():
    names = {servers.unique("topic") for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch(r"topic_[0-9a-f]{8}_\d+", name) for name in names)
