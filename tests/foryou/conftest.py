"""A home that the demo made, trained once, and a way to run commands in this process."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from foryou.cli import main
from tests.trained_home import trained_home_of_the_run


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self):
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command as the shell would; settings of the environment do not leak in."""
    monkeypatch.delenv("FORYOU_HOME", raising=False)

    def command(*arguments) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(int(ended.value.code or 0), said.out, said.err)

    return command


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory) -> Path:
    """A home with a tiny world on its log and a bundle trained on it; read only, and one for all workers."""
    return trained_home_of_the_run(tmp_path_factory)


@pytest.fixture
def home(trained_home, tmp_path) -> Path:
    """A copy of the trained home that a test may break."""
    copy = tmp_path / "home"
    shutil.copytree(trained_home, copy, ignore=shutil.ignore_patterns("mlartifacts", "scratch", "world"))
    return copy
