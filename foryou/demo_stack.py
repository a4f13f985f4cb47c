"""The demo on real servers: the stack, its tables and topics, and a worker beside the command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from core.errors import Unavailable

if TYPE_CHECKING:
    from core.settings import Settings
    from foryou.console import Steps

WORKER_LOG: Final = "worker.log"
_GRACE_S: Final = 30


@contextmanager
def on_stack(settings: "Settings", steps: "Steps") -> "Iterator[Settings]":
    """Settings of a cluster whose servers run and whose stream is worked on, until the block ends.

    The servers go on afterwards (`foryou stack down` ends them); the worker does not.
    """
    from foryou.cluster import initialise

    steps.begin("starting Kafka, Cassandra, Redis and PostgreSQL")
    there = _with_servers(settings)
    steps.begin("topics, keyspace and tables")
    initialise(there)
    worker = _worker(there)
    try:
        yield there
    finally:
        worker.terminate()
        try:
            worker.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            worker.kill()


def _with_servers(settings: "Settings") -> "Settings":
    from deploy.stack import Stack

    addresses = Stack(settings.home / "stack").up()
    return settings.model_copy(
        update={
            "backends": "cluster",
            "kafka": addresses.kafka,
            "cassandra": addresses.cassandra,
            "redis": addresses.redis,
            "postgres": addresses.postgres,
        }
    )


def environment(settings: "Settings") -> dict[str, str]:
    """The environment of a process that is to have the same settings."""
    told = settings.model_dump(mode="json", exclude={"debug_viewers"})
    return os.environ | {f"FORYOU_{name.upper()}": str(value) for name, value in told.items() if value != ""}


def _worker(settings: "Settings") -> "subprocess.Popen[bytes]":
    """`foryou work features` as a process of its own; Unavailable when it ends at once."""
    path = settings.home / WORKER_LOG
    with path.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "foryou", "work", "features", "--home", str(settings.home)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment(settings), start_new_session=True,
        )  # fmt: skip
    try:
        worker.wait(1.0)
    except subprocess.TimeoutExpired:
        return worker
    raise Unavailable(f"The stream worker ended at once; {path} says why.")
