"""A server on the home of its first argument that kills itself at the named moment of a write (a program).

Moments: "appended" (on the log, not applied) and "applying" (inside the transaction of the effects). "never" serves on.
It prints its port; the clock stands still at the third argument, Unix ms.
"""

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from core.settings import Settings
from foryou.bootstrap import open_product
from foryou.stores import open_stores
from serving.server import bind, serve


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class LogThatDies:
    """The log; the process ends as soon as an append is durable."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    async def append(self, events):
        await self._log.append(events)
        die()


def main(home, moment, now_ms):
    settings = Settings(home=Path(home), port=0)
    stores = open_stores(settings.home)
    if moment == "appended":
        stores = replace(stores, log=LogThatDies(stores.log))
    product = asyncio.run(open_product(settings, lambda: int(now_ms), stores=stores))
    if moment == "applying":
        whole = stores.transaction

        @contextmanager
        def broken():
            with whole():
                yield
                die()

        models = product.live.processor._models
        product.live.processor._models = replace(models, transaction=broken)
    listener = bind(settings)
    print(listener.getsockname()[1], flush=True)
    serve(product.app(), settings, listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
