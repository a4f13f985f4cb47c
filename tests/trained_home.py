"""A home that `foryou world` and `foryou train` made; one for all workers of a run, and read only."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from foryou.cli import main

VIEWERS, VIDEOS, IMPRESSIONS, DAYS = 150, 600, 8_000, 6
SIZE = ("--viewers", str(VIEWERS), "--videos", str(VIDEOS), "--impressions", str(IMPRESSIONS))
WORLD = (*SIZE, "--days", str(DAYS))
FEW = ("--rounds", "5", "--epochs", "1")


def trained_home_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by whichever test comes first; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    home, done = shared / "trained-home", shared / "trained-home-is-done"
    with (shared / "trained-home-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(home, ignore_errors=True)
            for command in (["world", *WORLD], ["train", *FEW]):
                with pytest.raises(SystemExit) as ended:
                    main([*command, "--home", str(home)])
                assert not ended.value.code
            done.touch()
    return home
