"""The roles of a stream worker, wired to a cluster."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from backends.postgres.social import PostgresLikes, PostgresTotals
from backends.postgres.tables import PostgresTables
from backends.redis.bytes import RedisBytes
from backends.sqlite.partition_state import SqlitePartitionStates
from backends.sqlite.trend_state import SqliteTrendStates
from core.errors import InputError
from core.ports import Record
from core.topics import USER_INTERACTION, VIDEO_PROCESSED
from features.archive.writer import Archiver
from features.stream import worker
from features.stream.kept_state import KeptConfig, Places
from features.stream.loop import StageConfig
from features.stream.snapshots import Snapshots
from features.stream.viewer_stage import Inlet
from features.stream.worker import Role, Worker
from feeds.trending.work import TrendPlaces, TrendWorkConfig, trending
from foryou.cluster_fanout import fanout_makers

if TYPE_CHECKING:
    from foryou.cluster import Cluster

FANOUT: Final = ("fanout", "unfollows", "active")
ROLES: Final = ("catalogue", "viewers", "counters", "history", "relations", "uploads", "trending", "archive", *FANOUT)
_CATALOGUED: Final = {"viewers", "counters", "fanout"}


def roles_of(names: Sequence[str]) -> list[str]:
    """These roles, all where none is named; InputError for an unknown one."""
    if unknown := sorted(set(names) - set(ROLES)):
        raise InputError(f"There is no role {unknown[0]!r}; choose from {', '.join(ROLES)}.")
    return [name for name in ROLES if not names or name in names]


def worker_of(cluster: "Cluster", names: Sequence[str]) -> Worker:
    """A worker with these roles, as `roles_of` has them."""
    wanted = roles_of(names)
    inlet = Inlet(cluster.messages, cluster.catalogue, cluster.clock)
    made = _makers(cluster, inlet)
    return Worker({name: made[name]() for name in wanted}, inlet if _CATALOGUED & set(wanted) else None)


def _makers(cluster: "Cluster", inlet: Inlet) -> dict[str, Callable[[], Role]]:
    log, config, kept = cluster.messages, StageConfig(), KeptConfig()
    folder = cluster.settings.home / "work"
    states = SqlitePartitionStates(folder)
    places = Places(states, cluster.features, Snapshots(cluster.blobs, states, folder / "snapshots"))
    tables, likes = PostgresTables(cluster.postgres), PostgresLikes(cluster.postgres)
    totals = PostgresTotals(cluster.postgres)
    trend_states = SqliteTrendStates(folder)
    trend_snapshots = Snapshots(cluster.blobs, trend_states, folder / "snapshots")
    trends = TrendPlaces(trend_states, RedisBytes(cluster.nodes), trend_snapshots, cluster.clock)

    async def related(records: Sequence[Record]) -> None:
        await tables.relate(records)
        await likes.apply(records)

    return {
        "catalogue": lambda: worker.registrar(log, config),
        "viewers": lambda: worker.viewers(inlet, places, config, kept),
        "counters": lambda: worker.counters(inlet, places, config, kept),
        "history": lambda: worker.history(log, cluster.history, config),
        "relations": lambda: worker.applied(log, "relations", USER_INTERACTION, related, config),
        "uploads": lambda: worker.applied(log, "uploads", VIDEO_PROCESSED, totals.apply, config),
        "trending": lambda: trending(log, trends, config, TrendWorkConfig()),
        "archive": lambda: Archiver(log, cluster.blobs, cluster.clock),
        **fanout_makers(cluster, config),
    }


async def run_until(worker_: Worker, stop: asyncio.Event) -> None:
    """Run the roles until told to stop, or until one of them ends with an error, which is raised."""
    running = asyncio.ensure_future(worker_.run())
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not running.done():
        running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
