"""`foryou stack` as a person uses it, with the one server that starts at once."""

import json
import re

import pytest

from deploy.stack import Stack


@pytest.fixture(autouse=True)
def ended(tmp_path, needs_redis):
    yield
    Stack(tmp_path / "stack").remove()


def test_up_prints_lines_for_a_shell_and_nothing_else(run, tmp_path):
    said = run("stack", "up", "redis")
    assert said.code == 0, said.err
    assert re.fullmatch(r"export FORYOU_REDIS=redis://127\.0\.0\.1:\d+/0\n", said.out)
    assert (tmp_path / "stack" / "settings.env").read_text() == said.out
    assert "redis answers on redis://127.0.0.1:" in said.err
    again = run("stack", "up", "redis")
    assert again.out == said.out and "as before" in again.err


def test_status_logs_and_down_tell_of_it(run, tmp_path):
    run("stack", "up", "redis")
    servers = {server["server"]: server for server in json.loads(run("stack", "status", "--json").out)}
    assert servers["redis"]["state"] == "ready" and servers["redis"]["rss_mib"] > 1
    assert servers["kafka"]["state"] == "absent"
    assert "Ready to accept connections" in run("stack", "logs", "redis", "-n", "5").out
    assert "Stopped redis." in run("stack", "down").err
    assert "Nothing ran" in run("stack", "down", "--delete-data").err
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["up", "mysql"], 3, "There is no server 'mysql'; choose from"),
        (["up", "redis", "--port", "redis"], 2, "write it as kafka=9092"),
        (["up", "redis", "--port", "kafka=9092"], 4, "There is a port for kafka"),
        (["logs"], 3, "There is no log of any server"),
        (["logs", "mysql"], 3, "There is no server 'mysql'"),
        (["down", "redis", "--delete-data"], 2, "leave out the names"),
    ],
)
def test_bad_input_is_one_sentence(run, arguments, code, sentence):
    said = run("stack", *arguments)
    assert (said.code, said.out) == (code, "")
    assert sentence in said.err and said.err.count("\n") == 1
