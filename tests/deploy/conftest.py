"""A stack for tests that break servers, and a way to run commands."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import ForyouError
from deploy import programs
from tests.integration import servers


@pytest.fixture
def stack():
    """All four servers, up."""
    with servers.stack_to_break() as stack:
        yield stack


@pytest.fixture
def needs_redis():
    """Skips, or fails in CI, where there is no redis-server."""
    try:
        programs.redis()
    except ForyouError as error:
        servers.give_up(error.sentence)


@dataclass(frozen=True)
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path):
    """Run `foryou` with a home of its own."""

    def run(*arguments) -> Said:
        command = [sys.executable, "-m", "foryou", *map(str, arguments), "--home", str(tmp_path)]
        root = Path(__file__).resolve().parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=dict(os.environ))
        return Said(done.returncode, done.stdout, done.stderr)

    return run
