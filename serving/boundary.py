"""The outermost layer of the app: times every request, and turns a bug into a 500 with an id."""

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import unexpected
from serving.metrics import Metrics

# No answer was begun: the request was cancelled because its client hung up.
CLIENT_GONE: Final = 499


class Boundary:
    """The one place where any exception is caught."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count it under its route template and status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, start = 0, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            response = unexpected(error, f"{scope['method']} {scope['path']}")
            if not status:
                await response(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - start
            self._metrics.request(_template(scope), status or CLIENT_GONE, seconds)


def _template(scope: Scope) -> str:
    """The path as declared, so that ids in paths do not become label values."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
