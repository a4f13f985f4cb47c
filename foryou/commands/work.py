"""`foryou work`: the processes that move events from the log into what the feed reads."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from core.errors import ConfigError
from foryou.commands.home import HomeOption, settings_of
from foryou.console import note
from serving.event_loop import run

if TYPE_CHECKING:
    from core.settings import Settings

T = TypeVar("T")


def group() -> typer.Typer:
    """The commands under `foryou work`."""
    app = typer.Typer(help="Work on the event stream of a cluster, until it is stopped.", no_args_is_help=True)
    app.callback()(lambda: None)
    app.command()(features)
    app.command()(trending)
    app.command()(fanout)
    app.command()(precompute)
    return app


def features(
    role: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this role: catalogue, viewers, counters, history, relations, uploads, trending, archive, fanout,"
            " unfollows, active; all without.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Work on the stream: events become history, relations, feature rows, counters and the archive.

    Any number of these processes share the partitions; each role has a consumer group of its own.

    Example: foryou work features --role viewers --role counters
    """
    run(_work(_of_a_cluster(settings_of(home=home)), tuple(role or ())))


def trending(home: HomeOption = None) -> None:
    """Count for Trending, as `foryou work features --role trending`.

    Example: foryou work trending
    """
    run(_work(_of_a_cluster(settings_of(home=home)), ("trending",)))


def fanout(home: HomeOption = None) -> None:
    """Push new videos to followers' inboxes, as `foryou work features` with the roles fanout, unfollows and active.

    Example: foryou work fanout
    """
    from foryou.cluster_work import FANOUT

    run(_work(_of_a_cluster(settings_of(home=home)), FANOUT))


def precompute(
    share: Annotated[float, typer.Option(min=0.01, max=1.0, help="Most of one core's time.")] = 0.5,
    home: HomeOption = None,
) -> None:
    """Rank ahead for viewers who are watching, so that their next pages need not wait for it.

    Example: foryou work precompute --share 0.25
    """
    run(_ahead(_of_a_cluster(settings_of(home=home)), share))


async def _ahead(settings: "Settings", share: float) -> None:
    from feeds.ranked_ahead import AheadConfig, RankedAhead
    from foryou.bootstrap import open_product

    # Beside a serving replica of this home: slates go to a file of our own, though we write none.
    settings = settings.model_copy(update={"replica": settings.replica or "precompute"})
    stop = _told_to_stop()
    product = await _unless(stop, open_product(settings))
    if product is None:
        return
    assert product.stores.watching is not None
    served = product

    async def prepare(viewer_id: str) -> bool:
        await served.live.refresh()
        return await served.feed.prepare(viewer_id)

    try:
        await product.live.start()
        ahead = RankedAhead(prepare, product.stores.watching, AheadConfig(share=share))
        note("The worker ranks ahead; Ctrl-C ends it.")
        await _unless(stop, ahead.run())
        await product.settled()
    finally:
        await product.live.stop()
        await product.stores.let_go()


def _told_to_stop() -> asyncio.Event:
    """Set by Ctrl-C and by SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _of_a_cluster(settings: "Settings") -> "Settings":
    """The settings; ConfigError where they are not those of a cluster."""
    if settings.backends != "cluster":
        raise ConfigError(
            "A worker needs a cluster: the embedded product applies its events itself. Start servers with"
            " `foryou stack up`, take over the settings that it prints, and set FORYOU_BACKENDS=cluster."
        )
    return settings


async def _work(settings: "Settings", roles: tuple[str, ...]) -> None:
    from core.clock import system_clock
    from foryou.cluster import open_cluster
    from foryou.cluster_work import roles_of

    roles_of(roles)  # a wrong one is told before any server is waited for
    stop = _told_to_stop()
    cluster = await _unless(stop, open_cluster(settings, system_clock))
    if cluster is None:
        return
    try:
        await cluster.work(roles, stop, note)
    finally:
        await cluster.close()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; None when it was told to stop first, and the work has let everything go."""
    working, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not working.done():
        working.cancel()
        await asyncio.wait([working])
    return None if working.cancelled() else working.result()
