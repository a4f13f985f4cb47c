"""How a consumer of the driver ends."""

import asyncio
from typing import Any


async def stop(client: Any) -> None:
    """Let it go. A fetch that waits to be tried again would end it half-way: the driver cancels that, and then takes
    the cancelling for its caller's."""
    try:
        await client.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        for fetch in client._fetcher._pending_tasks:
            fetch.cancel()
        await client._client.close()
