"""The real servers of a test run: one stack for all workers, or the one that FORYOU_TEST_STACK names.

    from tests.integration import servers

    def test_it_answers():
        addresses = servers.require("kafka", "redis")
        prefix = servers.unique("events")

Without them a laptop skips, with the reason; where CI is set a test that needs them fails.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from core.errors import ForyouError
from deploy import processes
from deploy.files import locked
from deploy.redis_cluster import RedisCluster
from deploy.stack import NAMES, Addresses, Stack

KEPT = "FORYOU_TEST_STACK"  # a stack that runs already and stays
OF_THE_RUN = "FORYOU_RUN_STACKS"  # the folder of the stacks of this run, which end with it

_numbers = itertools.count(1)
_process = uuid.uuid4().hex[:8]
_begun_here = False  # a suite that a test runs in turn belongs to the outer one
_CLUSTER = "redis-cluster"
_PREFIX, _OWNER = "foryou-test-stacks-", "owner"


def require(*names: str) -> Addresses:
    """Where the servers answer; starts those that do not run yet. Skips, or fails in CI, where that is impossible."""
    kept = os.environ.get(KEPT)
    reason = _start(names, kept)
    if reason:
        give_up(reason)
    return _stack(kept).addresses()


def require_redis_cluster() -> list[int]:
    """The ports of a Redis Cluster of three masters, which is shared by the run as the stack is."""
    reason = _start_cluster()
    if reason:
        give_up(reason)
    return [node.place().port for node in _cluster().nodes]


def stack_of_its_own(name: str) -> Stack:
    """A stack, not started, that no other test uses and that ends with the run: for tests that break servers."""
    return Stack(_runs() / name)


@contextlib.contextmanager
def stack_to_break(*names: str) -> Iterator[Stack]:
    """One for all tests that stop, kill or suspend servers; those tests take turns, whatever worker they run on."""
    stack = stack_of_its_own("broken")
    with locked(stack.folder.with_name("broken.lock")):
        try:
            stack.up(names or NAMES)
        except ForyouError as error:
            give_up(error.sentence)
        yield stack


def unique(prefix: str) -> str:
    """A name that no other test, worker or run uses: for topics, keyspaces, databases and keys ([a-z0-9_])."""
    return f"{prefix}_{_process}_{next(_numbers)}"


def begin_run() -> None:
    """Choose the folder of this run's stacks; the controller calls it before there are workers."""
    global _begun_here
    if OF_THE_RUN in os.environ:
        return
    end_lost_runs(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o711)  # the account of PostgreSQL passes through
    (folder / _OWNER).write_text(f"{os.getpid()} {processes.mark(os.getpid())}")
    os.environ[OF_THE_RUN], _begun_here = str(folder), True


def end_run() -> None:
    """End what this run started; the controller calls it after the last test."""
    if _begun_here:
        _end(_runs())


def end_lost_runs(folder: Path) -> None:
    """End what runs that were killed left behind."""
    for owner in folder.glob(f"{_PREFIX}*/{_OWNER}"):
        pid, _, mark = owner.read_text().partition(" ")
        if pid.isdecimal() and processes.mark(int(pid)) != mark:
            with contextlib.suppress(FileNotFoundError):  # another run was faster
                _end(owner.parent)


def _end(runs: Path) -> None:
    for folder in filter(Path.is_dir, runs.iterdir()):
        (RedisCluster(folder) if folder.name == _CLUSTER else Stack(folder)).remove()
    shutil.rmtree(runs, ignore_errors=True)


@cache
def _start(names: tuple[str, ...], kept: str | None) -> str:
    """Why they cannot run, once for each process; "" where they do."""
    stack = _stack(kept)
    try:
        if kept is None:
            stack.up(names)
            return ""
        absent = [name for name in names if not stack.node(name).pid()]
        return f"{', '.join(absent)} do not run in {kept} ({KEPT})" if absent else ""
    except ForyouError as error:
        return error.sentence


@cache
def _start_cluster() -> str:
    try:
        _cluster().up()
    except ForyouError as error:
        return error.sentence
    return ""


def _stack(kept: str | None) -> Stack:
    return Stack(Path(kept)) if kept else stack_of_its_own("shared")


def _cluster() -> RedisCluster:
    return RedisCluster(_runs() / _CLUSTER)


def _runs() -> Path:
    return Path(os.environ[OF_THE_RUN])


def give_up(reason: str) -> NoReturn:
    """Skip, or fail in CI."""
    if os.environ.get("CI"):
        pytest.fail(f"the real servers are needed in CI: {reason}", pytrace=False)
    pytest.skip(reason)
