"""What every test shares: one thread for each numerical library, real servers, and the public data sets."""

import os
from pathlib import Path
from typing import Any

import prometheus_client  # noqa: F401 - before a test imports Feast, which would switch it to files of its own
import pytest

from tests.integration import servers

# Set before any test imports torch, faiss or lightgbm: the suite runs one worker per core already.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """All workers share the servers that any of them starts."""
    servers.begin_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    """They end with the run."""
    servers.end_run()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two workers begin at different ends of the suite."""
    from tests.both_ends import FromBothEnds

    return FromBothEnds(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The ends: files of real servers, and all others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from tests.both_ends import servers_first

        items[:] = servers_first(items, REPOSITORY / "tests")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the public data sets: FORYOU_SHARED_DATA, or ../shared/data."""
    named = os.environ.get("FORYOU_SHARED_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the public data sets are absent: no folder {folder} (FORYOU_SHARED_DATA)")
    return folder
