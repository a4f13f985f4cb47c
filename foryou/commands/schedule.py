"""Training again and again: each run is a process of its own, so that one that dies takes nothing with it."""

import asyncio
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from core.errors import InputError

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FIRST_PAUSE_S: Final = 60.0
ANSWERED: Final = (0, 1)
"""Exit codes of a run that did its work: a bundle, nothing new, or a bundle that the gates refused."""

Run = Callable[[], Awaitable[int]]
Tell = Callable[[str], None]


def period_s(text: str) -> float:
    """Seconds of 90s, 30m, 1h or 1d; InputError for anything else."""
    found = re.fullmatch(r"(\d+)([smhd])", text.strip())
    if found is None or int(found[1]) == 0:
        raise InputError(f"The period {text!r} is none; write it as 30m, 1h, 24h or 1d.")
    return float(int(found[1]) * _SECONDS[found[2]])


async def keep_training(run: Run, every_s: float, stop: asyncio.Event, tell: Tell) -> None:
    """Run at once and then at every period, until `stop` is set; after a failure sooner, at longer and longer pauses.

    A run that takes longer than a period is followed by the next at once, never joined by it."""
    loop, failures = asyncio.get_running_loop(), 0
    while not stop.is_set():
        began = loop.time()
        code = await run()
        if stop.is_set():
            return
        failures = 0 if code in ANSWERED else failures + 1
        pause_s = max(0.0, every_s - (loop.time() - began))
        if failures:
            pause_s = min(every_s, _FIRST_PAUSE_S * 2 ** (failures - 1))
            tell(f"This training failed (exit code {code}); the next try is in {pause_s:,.0f} seconds.")
        try:
            await asyncio.wait_for(stop.wait(), pause_s)
        except TimeoutError:
            continue


async def trained_in_a_process(arguments: Sequence[str], stop: asyncio.Event) -> int:
    """Exit code of `foryou` with these arguments; when stopped the process is told to end, and waited for."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "foryou", *arguments)
    ended, stopped = asyncio.ensure_future(process.wait()), asyncio.ensure_future(stop.wait())
    await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        process.terminate()
    return await ended


async def train_every(arguments: Sequence[str], every_s: float, tell: Tell) -> None:
    """Train with these arguments at every period, until SIGTERM or Ctrl-C."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await keep_training(lambda: trained_in_a_process(arguments, stop), every_s, stop, tell)
    tell("Stopped; the served bundle is the last one that was crowned.")
