"""Opens the stores that the settings choose, for one command, in the loop that uses them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from core.clock import system_clock
from core.settings import Settings
from foryou.stores import Stores, open_stores


@asynccontextmanager
async def opened_stores(settings: Settings, *, fresh_features: bool = False) -> AsyncIterator[Stores]:
    """The embedded stores, or the cluster's; let go of at the end. Raises what opening them raises."""
    stores: Stores
    if settings.backends == "cluster":
        from foryou.cluster import open_cluster

        stores = (await open_cluster(settings, system_clock)).stores()
    else:
        stores = open_stores(settings.home, fresh_features=fresh_features)
    try:
        yield stores
    finally:
        await stores.let_go()


async def require_servers(settings: Settings) -> None:
    """Before long work whose result goes to a cluster: raises what opening it raises. Embedded stores need nothing."""
    if settings.backends == "cluster":
        from foryou.cluster import open_cluster

        await (await open_cluster(settings, system_clock)).close()
