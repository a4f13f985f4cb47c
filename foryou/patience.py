"""Tries again where a server does not answer yet, for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from core.errors import Unavailable

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 4.0

T = TypeVar("T")


async def patiently(attempt: Callable[[], Awaitable[T]], patience_s: float) -> T:
    """What an attempt gives; after Unavailable again, at longer and longer intervals, until `patience_s` have passed.

    Raises what the last attempt raised.
    """
    loop, pause_s = asyncio.get_running_loop(), _FIRST_PAUSE_S
    until = loop.time() + patience_s
    while True:
        try:
            return await attempt()
        except Unavailable:
            if loop.time() + pause_s > until:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
