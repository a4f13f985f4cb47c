"""The roles of `foryou work fanout`: push what is published, forget inboxes of who unfollowed, say who is active."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from core.clock import Clock, system_clock
from core.errors import ForyouError, SchemaMismatch, Unavailable
from core.events import Unfollow, VideoPublished, VideoRemoved, VideoUpdated, decode
from core.fanout import Inboxes
from core.log import Entry, Message, MessageLog
from core.ports import FeatureStore, Record, Tables
from core.topics import FEED_UPDATE, USER_INTERACTION, VIDEO_PROCESSED, FeedUpdate, encode_message
from features.stream.apply_stage import ApplyWork
from features.stream.lane import PartitionWork, Reject, StageMetrics
from features.stream.loop import StageConfig, StageLoop
from features.stream.soundness import unsound
from feeds.active_users import ActiveUsers
from feeds.fanout import Fanout, TierMetrics

_log = logging.getLogger(__name__)
_ASK_EVERY_S: Final = 30.0


class FanoutWork:
    """Pushes the videos of one partition of video.processed. What cannot be used the registrar puts aside."""

    def __init__(self, partition: int, fanout: Fanout, metrics: StageMetrics, clock: Clock = system_clock) -> None:
        self._partition, self._fanout, self._metrics, self._clock = partition, fanout, metrics, clock

    async def open(self) -> int | None:
        """The group's commit says where to begin."""
        return None

    async def apply(self, entries: Sequence[Entry], reject: Reject) -> None:
        """Pushed, and told on feed.update, when it returns."""
        changed: dict[str, int] = {}
        for entry in entries:
            try:
                event = decode(entry.value)
            except SchemaMismatch:
                continue
            if isinstance(event, VideoPublished | VideoUpdated | VideoRemoved) and not unsound(event):
                changed[event.video_id] = entry.offset
                self._metrics.stale_ms = max(self._clock() - (event.ingested_ms or self._clock()), 0)
        await self._fanout.deliver(self._partition, entries[0].offset, entries[-1].offset, changed)

    async def tick(self) -> None:
        """Say now and then what was done for each tier."""
        self._fanout.say()

    async def close(self) -> None:
        """Nothing is held."""


class PushLoop(StageLoop):
    """A stage loop that also tells what was done for each tier."""

    tiers: Mapping[str, TierMetrics]


def pushes(log: MessageLog, fanout: Fanout, config: StageConfig) -> PushLoop:
    """video.processed -> inboxes and feed.update."""
    metrics = StageMetrics()

    def work(partition: int) -> PartitionWork:
        return FanoutWork(partition, fanout, metrics)

    loop = PushLoop(log, "fanout", VIDEO_PROCESSED, work, metrics, config)
    loop.tiers = fanout.metrics
    return loop


def unfollows(log: MessageLog, tables: Tables, inboxes: Inboxes, config: StageConfig) -> StageLoop:
    """user.interaction -> inboxes that were trusted for an author who is not pushed any more are forgotten."""
    metrics = StageMetrics()

    async def forgotten(records: Sequence[Record]) -> None:
        left = [record for record in records if isinstance(record.event, Unfollow)]
        if left:
            # First it must count: an inbox that is built before that would be trusted for the author again.
            await tables.relate(left)
            await inboxes.delete(list(dict.fromkeys(record.event.viewer_id for record in left)))

    def work(partition: int) -> PartitionWork:
        return ApplyWork(forgotten, metrics)

    return StageLoop(log, "unfollows", USER_INTERACTION, work, metrics, config)


class ActiveRefresh:
    """Sets the map of active users anew whenever it is due, in one of all processes."""

    def __init__(self, active: ActiveUsers, features: FeatureStore) -> None:
        self._active, self._features = active, features

    async def run(self) -> None:
        """Until cancelled; an outage is tried again, with an hour's refresh left out at worst."""
        while True:
            try:
                if await self._active.due():
                    await self.refresh()
            except Unavailable as error:
                _log.warning("Active users are not refreshed now: %s", error.sentence)
            await asyncio.sleep(_ASK_EVERY_S)

    async def refresh(self) -> None:
        """Once, now."""
        rows = await self._features.scan("viewer")
        try:
            await self._active.refresh(await asyncio.to_thread(self._active.chosen, rows))
        except Unavailable:
            raise
        except ForyouError as error:
            _log.warning("Active users stay as they are: %s", error.sentence)


def teller(log: MessageLog) -> Callable[[Sequence[FeedUpdate]], Awaitable[None]]:
    """Puts what entered or left an inbox on feed.update, by recipient."""

    async def tell(updates: Sequence[FeedUpdate]) -> None:
        await log.append(FEED_UPDATE, [Message(update.recipient_id, encode_message(update)) for update in updates])

    return tell
