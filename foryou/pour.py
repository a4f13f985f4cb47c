"""Moves an imported log to the cluster: the catalogue first, then every viewer's events in their order.

An import writes the embedded log of the home, which knows what it has; from there events are poured into the
cluster's log. The mark of how far is committed after each batch, so a run that was killed repeats one batch at most,
and the stream processor drops what it has counted.
"""

import asyncio
import time
from typing import Final

import msgspec

from core.errors import Unavailable
from core.events import CATALOGUE_EVENTS, AnyEvent
from core.log import MessageLog
from core.ports import EventLog, EventSink, Tables
from core.topics import CATALOGUE
from training.progress import Progress

_GROUP: Final = "poured"
_BATCH: Final = 5_000
_WAIT_S: Final = 120.0


async def pour(log: EventLog, sink: EventSink, messages: MessageLog, tables: Tables, told: Progress) -> int:
    """Pour what was not poured yet; the number of events. Unavailable when no worker takes up the catalogue."""
    done, end = await log.committed(_GROUP), await log.end()
    if done >= end:
        return 0
    regions = {user.user_id: user.region for user in await tables.all_users()}
    published = await _pour_catalogue(log, sink, done, end)
    offset = await _catalogued(messages, published)

    def stamped(event: AnyEvent) -> AnyEvent:
        region = regions.get(event.viewer_id, "")
        return msgspec.structs.replace(event, viewer_region=region, catalogue_offset=offset)

    start = done
    while done < end:
        records = await log.read(done, _BATCH)
        events = [stamped(r.event) for r in records if not isinstance(r.event, CATALOGUE_EVENTS)]
        if events:
            await sink.append(events)
        done = records[-1].offset
        await log.commit(_GROUP, done)
        told("to the cluster's log", done - start, end - start)
    return end - start


async def _pour_catalogue(log: EventLog, sink: EventSink, done: int, end: int) -> int:
    """Append the catalogue's events between two offsets; how many."""
    total = 0
    while done < end:
        records = await log.read(done, _BATCH)
        events = [record.event for record in records if isinstance(record.event, CATALOGUE_EVENTS)]
        if events:
            await sink.append(events)
        total, done = total + len(events), records[-1].offset
    return total


async def _catalogued(messages: MessageLog, published: int) -> int:
    """The catalogue's last offset once it holds what was poured."""
    until = time.monotonic() + _WAIT_S
    while True:
        last = (await messages.bounds(CATALOGUE))[0].last
        if last >= published:
            return last
        if time.monotonic() > until:
            raise Unavailable(
                f"The catalogue holds {last:,} of {published:,} entries after {_WAIT_S:.0f} s; is a worker running"
                " (`foryou work features`)? Run the import again, it goes on."
            )
        await asyncio.sleep(0.2)
