"""The demo: it goes on where it was, reuses what is there, and refuses to mix."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from foryou import demo
from tests.trained_home import SIZE

MADE = ("demo", "--no-serve", *SIZE)


@pytest.fixture
def imported(run, tmp_path, monkeypatch):
    """A demo that was interrupted before its training."""
    import foryou.commands.training as training

    def stop(*_, **__):
        raise KeyboardInterrupt

    home = tmp_path / "home"
    with monkeypatch.context() as patched:
        patched.setattr(training, "train_home", stop)
        assert run(*MADE, "--home", home).code == 130
    return home


def test_an_interrupted_demo_goes_on_where_it_was(run, imported, monkeypatch):
    import foryou.commands.importing as importing
    import foryou.commands.training as training

    monkeypatch.setenv("FORYOU_MLFLOW", "off")  # a record takes as long as the training
    monkeypatch.setattr(importing, "import_folder", None)  # a second import would fail
    whole = training.config_of
    monkeypatch.setattr(training, "config_of", lambda settings, *_: whole(settings, 0, 3, 1, None))
    first = run(*MADE, "--home", imported)
    assert first.code == 0 and "long_view" in first.out
    monkeypatch.setattr(training, "train_home", None)  # a second training would fail
    again = run(*MADE, "--home", imported)
    assert again.code == 0 and again.out == first.out


def test_another_size_for_the_same_home_is_refused(run, imported):
    said = run("demo", "--no-serve", "--viewers", "151", *SIZE[2:], "--home", imported)
    assert (said.code, said.out) == (2, "")
    assert "150 viewers" in said.err and "151 viewers" in said.err and "--home" in said.err


def test_other_data_for_the_same_home_is_refused(run, imported, tmp_path):
    said = run("demo", "--no-serve", "--data", tmp_path, "--home", imported)
    assert said.code == 2 and "--home" in said.err


def test_a_home_with_a_log_of_its_own_is_refused(run, home):
    said = run(*MADE, "--home", home)
    assert said.code == 2 and "did not make" in said.err


def test_a_folder_that_is_called_world_is_left_alone(run, tmp_path):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "diary.txt").write_text("mine")
    said = run("world", "--home", tmp_path)
    assert said.code == 2 and "world" in said.err
    assert (tmp_path / "world" / "diary.txt").read_text() == "mine"


def test_data_that_is_not_there_leaves_no_home(run, tmp_path):
    said = run("demo", "--no-serve", "--data", tmp_path / "none", "--home", tmp_path / "h")
    assert said.code == 3 and "none" in said.err
    assert not (tmp_path / "h").exists()


def test_a_port_in_use_is_said_before_any_work(run, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = run("demo", *SIZE, "--home", tmp_path / "h", "--port", taken.getsockname()[1])
    assert said.code == 4
    assert not (tmp_path / "h").exists()


def test_the_commands_to_try_name_a_viewer_with_a_history(trained_home):
    from core.settings import Settings

    text = demo.commands_to_try(Settings(home=trained_home), "http://127.0.0.1:1")
    assert text.count("Authorization: Bearer ") == 2
    assert f"--home {trained_home}" in text and "http://127.0.0.1:1/api/v1/events" in text


def test_a_served_home_answers_and_ends_on_ctrl_c(trained_home):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "foryou", "serve", "--home", str(trained_home), "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert _answers(f"http://127.0.0.1:{port}/ready", process)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert "Traceback" not in said
    finally:
        process.kill()


def _answers(url: str, process: subprocess.Popen) -> bool:
    """Whether the server comes up before it ends, or a minute passes."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False


@pytest.mark.parametrize(
    ("command", "line"),
    [(["world", "--impressions", "2000000"], "building the world"), (["train", "--epochs", "100"], "features")],
)
def test_ctrl_c_in_the_middle_of_work_ends_without_a_traceback(home, command, line):
    arguments = [sys.executable, "-m", "foryou", *command, "--home", str(home)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr is not None
        assert any(said.startswith(line) for said in process.stderr)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert not (home / "world").exists(), "what is not whole does not look whole"
    finally:
        process.kill()
