"""One trained home for the whole run, and copies of it for the tests that write."""

import fcntl
from itertools import count

import pytest

from tests.e2e import tiny


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory, worker_id):
    """Built once, whichever worker comes first; nobody writes to it."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent
    home = root / "end-to-end-home"
    with (root / "end-to-end-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "done").exists():
            tiny.build(home)
            (home / "done").touch()
    return home


@pytest.fixture
def new_home(trained_home, tmp_path):
    """A function that gives a fresh copy of the trained home."""
    numbers = count()
    return lambda: tiny.copy(trained_home, tmp_path / f"home-{next(numbers)}")


@pytest.fixture
def home(new_home):
    return new_home()


@pytest.fixture
def app(home):
    """A running product on a home of its own, with every slate kept in full."""
    with tiny.running(tiny.settings_of(home)) as running:
        yield running
