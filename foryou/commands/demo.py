"""`foryou demo`: everything, from nothing to a feed that answers."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foryou.commands.home import HomeOption, command, settings_of
from foryou.commands.serving import PortOption, address_of, serve_home
from foryou.console import Steps, note

if TYPE_CHECKING:
    from core.settings import Settings
    from foryou.demo import DemoPlan


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="KuaiRand-Pure folder to use instead of a synthetic world.", show_default=False),
    ] = None,
    viewers: Annotated[int, typer.Option(min=50, help="Viewers of the world.")] = 3_000,
    videos: Annotated[int, typer.Option(min=100, help="Videos of the world.")] = 12_000,
    impressions: Annotated[int, typer.Option(min=1_000, help="Impressions of its history.")] = 200_000,
    port: PortOption = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="On real servers: Kafka, Cassandra, Redis and PostgreSQL, started here.")
    ] = False,
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Prepare only.")] = False,
    home: HomeOption = None,
) -> None:
    """Build a world (or take --data), train on it and serve it; a second run reuses what is there.

    Example: foryou demo --data ../shared/data/kuairand-pure --home .kuairand --port 8001
    """
    from foryou.commands.world import WorldSize
    from foryou.demo import DemoPlan, make_home
    from serving.server import bind

    settings = settings_of(home=home, port=port)
    if not no_serve:
        bind(settings).close()
    size = None if data else WorldSize(viewers=viewers, videos=videos, impressions=impressions)
    plan = DemoPlan(data=str(data.resolve()) if data else "", world=size, stack=stack)
    if not stack:
        _prepare_and_serve(settings, plan, no_serve)
        return
    from foryou.demo_stack import on_stack

    make_home(settings.home, plan)
    with ExitStack() as running:
        with Steps() as steps:
            there = running.enter_context(on_stack(settings, steps))
        _prepare_and_serve(there, plan, no_serve)
    note(f"The servers go on; {command(settings, 'stack down')} ends them.")


def _prepare_and_serve(settings: "Settings", plan: "DemoPlan", no_serve: bool) -> None:
    from foryou.commands.training import show_figures
    from foryou.demo import commands_to_try, prepare
    from serving.server import bind

    with Steps() as steps:
        manifest = prepare(settings, plan, steps)
    show_figures(manifest)
    if plan.data:
        note("The log is real; names, pictures and addresses of videos are made up, and answers say so (made_up).")
    if no_serve:
        servers = f'eval "$({command(settings, "stack up")})"; {command(settings, "work features")} & '
        note(f"Next: {servers if plan.stack else ''}{command(settings, 'serve')}")
        return
    with bind(settings) as listener:
        print(commands_to_try(settings, address_of(settings, listener)), flush=True)
        serve_home(settings, listener)
