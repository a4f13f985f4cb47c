"""Kafka is killed, stands still, runs out of disk: nothing acknowledged is lost, nobody hangs, all go on after it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from backends.kafka.config import KafkaConfig
from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from core.errors import ForyouError, Unavailable
from core.log import Entry, Message, MessageLog, Place
from core.settings import Settings
from deploy.stack import Stack
from tests.contracts.message_log import MANY, ONE, PATIENCE_S, Told, drain, member, numbered, until, values
from tests.integration import servers
from tests.integration.kafka_topics import settings_for, topic

APPEND_MS = 2_000
SENTENCE = r"^Kafka at 127\.0\.0\.1:\d+ (does not|could not) [^;]+; [^;]+[?.]$"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """These tests break the broker."""
    with servers.stack_to_break("kafka") as stack:
        yield stack


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """Its topics and groups are ours alone; the broker runs when a test begins."""
    if not stack.node("kafka").pid():
        stack.start("kafka")
    return settings_for(stack.addresses().kafka)


def quick(settings: Settings) -> KafkaConfig:
    """Gives up sooner than the product, to keep the tests short."""
    return KafkaConfig.of(settings).model_copy(update={"append_ms": APPEND_MS, "answer_ms": 1_500, "session_ms": 6_000})


async def opened(settings: Settings) -> KafkaMessageLog:
    """A log with its topics."""
    await ensure_topics(settings, [topic(ONE, 1), topic(MANY, 4)])
    return await KafkaMessageLog.open(settings, quick(settings))


async def killed(stack: Stack) -> None:
    """As a lost machine."""
    await asyncio.to_thread(stack.kill, "kafka")


async def started(stack: Stack) -> None:
    """On the same port and data."""
    await asyncio.to_thread(stack.start, "kafka")


class Writer:
    """Appends small batches one after the other, and remembers where the acknowledged ones were put."""

    def __init__(self, log: MessageLog, name: str) -> None:
        self.log, self.name = log, name
        self.acknowledged: dict[tuple[int, int], bytes] = {}
        self.errors: list[ForyouError] = []
        self.slowest_s = 0.0
        self.ending = False

    async def run(self) -> None:
        """Until `ending`."""
        number = 0
        while not self.ending:
            number += 1
            batch = [Message(f"{self.name}-{each % 7}", f"{self.name} {number} {each}".encode()) for each in range(10)]
            began = time.monotonic()
            try:
                places = await self.log.append(MANY, batch)
            except Unavailable as error:
                self.errors.append(error)
                await asyncio.sleep(0.05)
            else:
                self.note(places, batch)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)

    def note(self, places: list[Place], batch: list[Message]) -> None:
        """No place is given out twice."""
        for place, message in zip(places, batch, strict=True):
            assert (place.partition, place.offset) not in self.acknowledged
            self.acknowledged[(place.partition, place.offset)] = message.value


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(0.05)


async def everything(log: MessageLog, name: str, partitions: int) -> list[Entry]:
    """All that the topic holds."""
    found: list[Entry] = []
    for partition in range(partitions):
        after = 0
        while entries := await log.read(name, partition, after, 5_000):
            found += entries
            after = entries[-1].offset
    return found


def test_a_broker_killed_during_appends_loses_nothing_that_was_acknowledged(stack: Stack, settings: Settings) -> None:
    async def body() -> None:
        log = await opened(settings)
        writers = [Writer(log, f"w{number}") for number in range(4)]
        tasks = [asyncio.create_task(writer.run()) for writer in writers]
        await eventually(lambda: all(len(writer.acknowledged) > 300 for writer in writers))
        await killed(stack)
        await eventually(lambda: all(writer.errors for writer in writers))
        before = [len(writer.acknowledged) for writer in writers]
        await started(stack)
        await eventually(lambda: all(len(w.acknowledged) > n + 300 for w, n in zip(writers, before, strict=True)))
        for writer in writers:
            writer.ending = True
        await asyncio.gather(*tasks)
        await check(log, writers)
        await log.close()

    asyncio.run(body())


async def check(log: MessageLog, writers: list[Writer]) -> None:
    """Each acknowledged message is where its writer was told, and nowhere else."""
    entries = await everything(log, MANY, 4)
    there = {(entry.partition, entry.offset): entry.value for entry in entries}
    acknowledged = {place: value for writer in writers for place, value in writer.acknowledged.items()}
    assert {place: there.get(place) for place in acknowledged} == acknowledged
    kept = [entry.value for entry in entries]
    assert len(set(kept)) == len(kept)  # a batch that the driver sent again is in the log once
    assert max(writer.slowest_s for writer in writers) < APPEND_MS / 1000 + 1
    for writer in writers:
        assert all("Kafka at" in error.sentence and "is it running" in error.sentence for error in writer.errors)
    print(f"acknowledged {len(acknowledged)}, kept {len(kept)}, lost 0, refused {sum(len(w.errors) for w in writers)}")


def test_a_broker_killed_while_a_group_reads_loses_nothing_and_repeats_only_what_was_not_committed(
    stack: Stack, settings: Settings
) -> None:
    async def body() -> None:
        log = await opened(settings)
        await log.append(MANY, [Message(f"k{number % 50}", b"%d" % number) for number in range(6_000)])
        told, got, down = Told(), [], 0
        committed: dict[tuple[str, int], int] = {}
        done: dict[tuple[str, int], int] = {}

        async def step(consumer) -> None:
            nonlocal down
            try:
                entries = await consumer.poll(50, 100)
                for entry in entries:
                    assert entry.offset > committed.get((entry.topic, entry.partition), 0)
                got.extend(values(entries))
                done.update({(entry.topic, entry.partition): entry.offset for entry in entries})
                await consumer.commit(done)  # with what could not be said before
                committed.update(done)
            except Unavailable as error:
                assert "is it running" in error.sentence
                down += 1

        async with member(log, "g", MANY, told) as consumer, asyncio.timeout(PATIENCE_S):
            while len(got) < 2_000:
                await step(consumer)
            await killed(stack)
            while not down:
                await step(consumer)
            await started(stack)
            while len(set(got)) < 6_000:
                await step(consumer)
            await log.append(MANY, [Message("k1", b"6000")])
            while 6_000 not in got or committed != done:
                await step(consumer)
        assert set(got) == set(range(6_001))
        # A commit whose answer was lost may or may not have counted: one poll's worth at most comes again.
        assert len(got) <= 6_001 + 50
        async with member(log, "g", MANY) as consumer:
            await until([consumer], lambda: True)
            assert await consumer.poll(10, 1_000) == []
        await log.close()

    asyncio.run(body())


def test_a_broker_that_stands_still_makes_every_call_give_up_in_time_and_all_go_on_after_it(
    stack: Stack, settings: Settings
) -> None:
    async def gives_up(call: Callable[[], Awaitable[object]], within_s: float) -> None:
        began = time.monotonic()
        with pytest.raises(Unavailable, match=SENTENCE):
            while time.monotonic() - began < within_s:
                await call()
        assert time.monotonic() - began < within_s

    async def body() -> None:
        log = await opened(settings)
        told = Told()
        await log.append(ONE, numbered(3))
        async with member(log, "g", ONE, told) as consumer:
            (got,) = await drain(consumer, count=3, commit=False)
            stack.suspend("kafka")
            try:
                await asyncio.gather(
                    gives_up(lambda: log.append(ONE, numbered(1)), 4),
                    gives_up(lambda: log.read(ONE, 0, 0, 1), 4),
                    gives_up(lambda: log.bounds(ONE), 4),
                    gives_up(lambda: consumer.commit({(ONE, 0): got[-1].offset}), 4),
                    gives_up(lambda: consumer.poll(10, 100), 6),
                )
            finally:
                stack.resume("kafka")
            await until_it_works(lambda: log.append(ONE, [Message("k", b"3")]))
            await until_it_works(lambda: consumer.commit({(ONE, 0): got[-1].offset}))
            seen: list[Entry] = []
            async with asyncio.timeout(PATIENCE_S):
                while not {3} <= set(values(seen)):
                    try:
                        seen += await consumer.poll(10, 100)
                    except Unavailable:
                        await asyncio.sleep(0.1)
        await log.close()

    asyncio.run(body())


def test_a_log_closes_while_its_fetches_wait_to_be_tried_again(stack: Stack, settings: Settings) -> None:
    async def body() -> None:
        log = await opened(settings)
        for partition in range(4):
            await log.append(MANY, [Message("k", b"1", partition)])
            assert await log.read(MANY, partition, 0, 10)
        await killed(stack)
        await asyncio.sleep(2)
        await log.close()

    asyncio.run(body())


async def until_it_works(call: Callable[[], Awaitable[object]]) -> None:
    """As a caller with backoff does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await call()
                return
            except Unavailable:
                await asyncio.sleep(0.1)
