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
from core.topics import CATALOGUE, VIDEO_PROCESSED, dead_letters
from features.stream.messages import CatalogueEntry, decode_entry
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
    await _pour_catalogue(log, sink, done, end)
    offset = await _catalogued(messages)

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


async def _pour_catalogue(log: EventLog, sink: EventSink, done: int, end: int) -> None:
    """Append the catalogue's events between two offsets."""
    while done < end:
        records = await log.read(done, _BATCH)
        events = [record.event for record in records if isinstance(record.event, CATALOGUE_EVENTS)]
        if events:
            await sink.append(events)
        done = records[-1].offset


async def _catalogued(messages: MessageLog) -> int:
    """The catalogue's last offset once it holds all that video.processed has now, whoever sent it."""
    wanted = dict(enumerate(bounds.last for bounds in await messages.bounds(VIDEO_PROCESSED)))
    until, offset, reached = time.monotonic() + _WAIT_S, 0, dict[int, int]()
    while True:
        while page := await messages.read(CATALOGUE, 0, offset, _BATCH):
            offset = page[-1].offset
            for entry in page:
                _take(decode_entry(entry.value), reached)
        aside = await _set_aside(messages)
        missing = [n for n, last in wanted.items() if set(range(reached.get(n, 0) + 1, last + 1)) - aside.get(n, set())]
        if not missing:
            return offset
        if time.monotonic() > until:
            number = missing[0]
            raise Unavailable(
                f"The catalogue has {VIDEO_PROCESSED} [{number}] up to {reached.get(number, 0):,} of {wanted[number]:,}"
                f" after {_WAIT_S:.0f} s; is a worker running (`foryou work features`)? Run the import again."
            )
        await asyncio.sleep(0.2)


async def _set_aside(messages: MessageLog) -> dict[int, set[int]]:
    """By partition the offsets of video.processed that can never be used."""
    topic, found = dead_letters(VIDEO_PROCESSED), dict[int, set[int]]()
    after = (await messages.bounds(topic))[0].first - 1
    while page := await messages.read(topic, 0, after, _BATCH):
        after = page[-1].offset
        for entry in page:
            found.setdefault(int(entry.headers["partition"]), set()).add(int(entry.headers["offset"]))
    return found


def _take(placed: CatalogueEntry, reached: dict[int, int]) -> None:
    """As every follower does: what came before, or without its predecessor, is passed over."""
    before = reached.get(placed.source_partition, 0)
    if placed.previous_offset <= before < placed.source_offset:
        reached[placed.source_partition] = placed.source_offset
