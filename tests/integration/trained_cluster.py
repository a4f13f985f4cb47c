"""A tiny world imported, streamed and trained on real servers, with a worker and two replicas running."""

import asyncio
import shutil
from contextlib import contextmanager
from dataclasses import replace

from core.clock import system_clock
from core.settings import Settings
from serving.auth import DevKeys
from tests.integration import servers
from tests.integration.postgres_databases import Databases
from tests.integration.running_cluster import RunningCluster
from tests.trained_home import WORLD

OWN_WORLD = ("--viewers", "200", "--videos", "800", "--impressions", "8000", "--days", "5")


class TrainedCluster(RunningCluster):
    """What the tests of a whole cluster need; `stack` is given where they break its servers."""

    def __init__(self, home, addresses, stack=None, deadline_ms=None):
        super().__init__(home, addresses, servers.unique("t"))
        self.stack, self.deadline_ms = stack, deadline_ms
        self._keys = None

    def configured(self, **fields):
        """The settings as an object."""
        return Settings(**{"home": self.home} | self.settings() | fields)

    def environment(self, replica):
        """With a deadline of its own where one was given."""
        own = {"FORYOU_REQUEST_DEADLINE_MS": str(self.deadline_ms)} if self.deadline_ms else {}
        return super().environment(replica) | own

    def bearer(self, viewer):
        """A token of the viewer."""
        return self.keys().issue(viewer, ttl_s=3_600, clock=system_clock)

    def keys(self):
        """What signs the tokens."""
        if self._keys is None:
            self._keys = DevKeys.ensure(self.home / "keys")
        return self._keys

    def replicas(self):
        return [program for name, program in self.programs.items() if name.startswith("replica")]

    def catalogue(self):
        """The VideoTable, as everyone has it."""
        from foryou.cluster import open_cluster

        async def load():
            cluster = await open_cluster(self.configured(), system_clock)
            try:
                return await cluster.stores().videos.load()
            finally:
                await cluster.close()

        return asyncio.run(load())


@contextmanager
def trained_cluster(folder, stack, replicas=2, bundles=None):
    """Servers of its own up, a world streamed through them, a bundle trained, programs running.

    For tests of something else than training `bundles` is the folder of what another home was trained on `WORLD`.
    """
    try:
        stack.up()
    except Exception as error:
        servers.give_up(str(error))
    try:
        with _trained(TrainedCluster(folder / "home", stack.addresses(), stack), replicas, bundles) as cluster:
            yield cluster
    finally:
        stack.down()


@contextmanager
def trained_on_shared_servers(folder, replicas=2):
    """The same on the servers that all tests share, which it must leave as they are; no page is late there."""
    addresses = servers.require("kafka", "cassandra", "redis", "postgres")
    with (
        databases_of(addresses) as addresses,
        _trained(TrainedCluster(folder / "home", addresses, deadline_ms=20_000), replicas) as cluster,
    ):
        yield cluster


@contextmanager
def _trained(cluster, replicas, bundles=None):
    try:
        cluster.run("stack", "init")
        worker = cluster.worker(wait=False)
        cluster.run("world", *(OWN_WORLD if bundles is None else WORLD))
        if bundles is None:
            cluster.run("train", "--rounds", "20", "--epochs", "1", "--threads", "1")
        else:
            shutil.copytree(bundles, cluster.home / "bundles")
        started = [cluster.replica(f"replica-{number + 1}", wait=False) for number in range(replicas)]
        for program in (worker, *started):
            program.wait()
        yield cluster
    finally:
        cluster.stop()


@contextmanager
def databases_of(addresses):
    """The addresses with a PostgreSQL database that is dropped at the end."""
    databases, name = Databases(addresses.postgres), servers.unique("loop")
    asyncio.run(databases.execute(f'CREATE DATABASE "{name}"'))
    try:
        yield replace(addresses, postgres=databases.url(name))
    finally:
        asyncio.run(databases.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
