"""A stream worker on the settings of its argument, until it is ended (a program of benchmarks/stream.py)."""

import asyncio
import json
import signal
import sys

from benchmarks._stream_setup import Parts
from core.settings import Settings
from serving.event_loop import run


async def work(settings: Settings) -> None:
    """Viewers and counters."""
    parts = await Parts.open(settings)
    working = asyncio.create_task(parts.worker("viewers", "counters").run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    await asyncio.gather(working, return_exceptions=True)
    await parts.close()


run(work(Settings(**json.loads(sys.argv[1]))))
