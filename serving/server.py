"""Runs the app on this machine until it is told to stop.

The server is uvicorn: the app and everything that it holds live in this one process, and uvicorn runs
an app object in place. granian would start workers that import the app anew, each with its own copy of
the index and its own applier of events.
"""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from core.errors import ConfigError
from core.settings import Settings
from serving.event_loop import run

GRACE_S: Final = 10
BACKLOG: Final = 2048


def bind(settings: Settings) -> socket.socket:
    """A listening socket at the host and port of the settings; ConfigError when it cannot be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"Port {settings.port} on {settings.host} cannot be opened ({error.strerror});"
            " stop what uses it, or choose another with --port or FORYOU_PORT."
        ) from error


def serve(app: FastAPI, settings: Settings, listener: socket.socket | None = None) -> None:
    """Answer requests until SIGINT or SIGTERM, then finish those under way and return.

    Give a `listener` from `bind` to find out that the port is in use before the app is built.
    """
    run(serve_here(app, settings, listener))


async def serve_here(app: FastAPI, settings: Settings, listener: socket.socket | None = None) -> None:
    """As `serve`, in the running loop, to which connections of the app may belong."""
    with listener or bind(settings) as bound, _signals_end_only_the_server():
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        server = uvicorn.Server(config)
        await server.serve(sockets=[bound])
    if not server.started:
        raise ConfigError("The server could not start; the log says why.")


@contextmanager
def _signals_end_only_the_server() -> Iterator[None]:
    """uvicorn sends itself the signal again once it has stopped; here that must not kill the caller,
    who still has stores to close."""
    ending = (signal.SIGINT, signal.SIGTERM)
    try:
        before = [signal.signal(number, lambda number, frame: None) for number in ending]
    except ValueError:  # not in the main thread, where uvicorn leaves signals alone too
        yield
        return
    try:
        yield
    finally:
        for number, handler in zip(ending, before, strict=True):
            signal.signal(number, handler)
