"""`foryou serve` and `foryou token`."""

import asyncio
import socket
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from foryou.commands.home import HomeOption, require_log, settings_of
from foryou.console import Steps, note
from serving.event_loop import run

if TYPE_CHECKING:
    from fastapi import FastAPI

    from core.settings import Settings
    from foryou.bootstrap import Product

Result = TypeVar("Result")

PortOption = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port to serve on (FORYOU_PORT; 8000).", show_default=False)
]


def serve(
    port: PortOption = None,
    host: Annotated[str | None, typer.Option(help="Address (FORYOU_HOST; 127.0.0.1).", show_default=False)] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run as a Ray Serve deployment on a local cluster.")] = False,
    home: HomeOption = None,
) -> None:
    """Serve the trained bundle of HOME over HTTP until SIGINT or SIGTERM.

    Example: foryou serve --port 8080
    """
    settings = settings_of(home=home, port=port, host=host)
    require_log(settings)
    if ray:
        _serve_ray(settings)
        return
    from serving.server import bind

    serve_home(settings, bind(settings))


def serve_home(settings: "Settings", listener: socket.socket) -> None:
    """Answer on the listener until told to stop, then let go of the stores."""
    with listener:
        run(_serve_here(settings, listener))


async def _serve_here(settings: "Settings", listener: socket.socket) -> None:
    from serving.server import serve_here

    with Steps() as steps:
        steps.begin("loading the bundle")
        product = await opened(settings)
    try:
        address = address_of(settings, listener)
        note(
            f"Serving bundle {product.bundle.manifest.bundle_id} over {len(product.state.table):,} videos on"
            f" {address} (interactive documentation at {address}/docs); Ctrl-C ends it."
        )
        await serve_here(product.app(), settings, listener)
    finally:
        await product.stores.let_go()


def address_of(settings: "Settings", listener: socket.socket) -> str:
    """Where the listener answers, such as http://127.0.0.1:8000."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{listener.getsockname()[1]}"


def _serve_ray(settings: "Settings") -> None:
    from foryou.champion import champion_folder
    from serving.ray_app import serve_ray

    champion_folder(settings.bundles)
    note(f"Starting Ray; it will answer on http://{settings.host}:{settings.port}; Ctrl-C ends it.")
    serve_ray(_replica, settings)


def _replica() -> "FastAPI":
    """The app inside a Ray replica, whose settings came as environment variables."""
    product: Product = _in_a_thread(opened(settings_of()))
    return product.app()


def _in_a_thread(work: Awaitable[Result]) -> Result:
    """Run to the end from inside a running loop, which Ray's replica has."""
    from concurrent.futures import ThreadPoolExecutor

    async def awaited() -> Result:
        return await work

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, awaited()).result()


async def opened(settings: "Settings") -> "Product":
    """The product of a home; NotFound where there is nothing, before any store makes files there."""
    from foryou.bootstrap import open_product
    from foryou.champion import champion_folder

    require_log(settings)
    champion_folder(settings.bundles)
    return await open_product(settings)


def token(
    user: Annotated[str, typer.Argument(help="The id of the user.")],
    operator: Annotated[bool, typer.Option("--operator", help="May also explain the slates of others.")] = False,
    ttl: Annotated[int | None, typer.Option(min=1, help="Life in seconds.", show_default="one day")] = None,
    home: HomeOption = None,
) -> None:
    """Print a bearer token for USER, signed with the development key of HOME, and nothing else.

    Example: curl -H "Authorization: Bearer $(foryou token u12)" localhost:8000/api/v1/feed/for-you
    """
    print(token_of(settings_of(home=home), user, operator=operator, ttl_s=ttl))


def token_of(settings: "Settings", user: str, *, operator: bool = False, ttl_s: int | None = None) -> str:
    """A token signed with the home's development key, which is made on first use."""
    from core.clock import system_clock
    from serving.auth import OPERATOR, VIEWER, DevKeys

    keys = DevKeys.ensure(Path(settings.keys))
    role = OPERATOR if operator else VIEWER
    return keys.issue(user, ttl_s=ttl_s or settings.demo_token_ttl_s, clock=system_clock, role=role)
