"""Small worlds that several tests share; they are read only."""

from pathlib import Path

import numpy as np
import pytest

from simulation.history import LoggedHistory
from simulation.log_files import write_history
from simulation.world import World

SMALL = {"users": 800, "videos": 4000, "days": 6}


@pytest.fixture(scope="session")
def lived():
    """A small world at the end of its history, and what was shown."""
    world = World.build(11, **SMALL)
    rows = np.concatenate(list(LoggedHistory(world, 60_000).hours()))
    return world, rows


@pytest.fixture(scope="session")
def written(tmp_path_factory) -> Path:
    """The files of the same history, written."""
    folder = tmp_path_factory.mktemp("history")
    write_history(World.build(11, **SMALL), folder, 60_000)
    return folder
