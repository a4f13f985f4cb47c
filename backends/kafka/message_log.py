"""MessageLog on Kafka. Offsets of the log are Kafka's plus one."""

import asyncio
import logging
from collections.abc import Sequence

from backends.kafka.config import KafkaConfig
from backends.kafka.consumer import KafkaConsumer
from backends.kafka.errors import translated
from backends.kafka.producer import Producer, Record
from backends.kafka.reader import Reader
from core.clock import Clock, system_clock
from core.errors import Unavailable
from core.log import Assignment, Bounds, Consumer, Entry, Message, Place
from core.settings import Settings

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0


class KafkaMessageLog:
    """Topics must exist (`backends.kafka.topics.ensure_topics`); calls give up with Unavailable after stated times."""

    def __init__(self, config: KafkaConfig, clock: Clock = system_clock) -> None:
        self._config, self._clock = config, clock
        self._producer = Producer(config)
        self._reader = Reader(config)

    @classmethod
    async def open(
        cls, settings: Settings, config: KafkaConfig | None = None, clock: Clock = system_clock
    ) -> "KafkaMessageLog":
        """Connected; Unavailable when Kafka did not answer within `start_ms`."""
        # It logs every attempt to reach a broker that is away; what matters reaches the caller as an error.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        log = cls(config or KafkaConfig.of(settings), clock)
        try:
            await log._reach()
        except BaseException:
            await log.close()
            raise
        return log

    async def _reach(self) -> None:
        """Try again, with longer and longer pauses, until `start_ms` have passed."""
        loop, pause_s = asyncio.get_running_loop(), _FIRST_PAUSE_S
        until = loop.time() + self._config.start_ms / 1000
        while True:
            try:
                return await self._producer.start()
            except Unavailable as error:
                if loop.time() + pause_s > until:
                    raise Unavailable(
                        f"{self._config.place} did not answer for {self._config.start_ms / 1000:g} s; start it"
                        " (`foryou stack up kafka` starts a local one) or correct FORYOU_KAFKA."
                    ) from error
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def append(self, topic: str, messages: Sequence[Message]) -> list[Place]:
        """Durable on every replica in sync when it returns; Unavailable or StorageFull after `append_ms`."""
        return await self._producer.append(topic, [Record(m.key, m.value, m.partition) for m in messages])

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """At most `limit` messages of a partition with an offset above `after`, in order; no group involved."""
        with translated(self._config.place, f"give messages of {topic}"):
            return await self._reader.read(topic, partition, after, limit)

    async def bounds(self, topic: str) -> list[Bounds]:
        """What each partition holds, by number."""
        with translated(self._config.place, f"tell what it holds of {topic}"):
            return await self._reader.bounds(topic)

    async def join(self, group: str, topics: Sequence[str], assignment: Assignment | None = None) -> Consumer:
        """A new member of the group; its polls wait for its share of the partitions."""
        return KafkaConsumer(self._config, self._producer, group, topics, assignment, self._clock)

    async def close(self) -> None:
        """Send what waits and let go of connections."""
        await self._producer.close()
        await self._reader.close()
