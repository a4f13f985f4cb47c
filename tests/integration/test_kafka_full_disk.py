"""The disk under Kafka is full: the append says so in one sentence, and nothing acknowledged is lost."""

import asyncio
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from backends.kafka.config import KafkaConfig
from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from core.errors import ForyouError, Unavailable
from core.log import Message
from deploy.stack import Stack
from tests.contracts.message_log import ONE
from tests.integration import servers
from tests.integration.kafka_topics import settings_for, topic

SPACE_MIB, ENOUGH_MIB = 48, 256
BLOCK = bytes(range(256)) * 400


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A broker of our own."""
    stack = servers.stack_of_its_own(servers.unique("kafka_full_disk"))
    yield stack
    stack.remove()


@contextmanager
def small_disk(stack: Stack) -> Iterator[bool]:
    """A file system for the broker alone; False where we may not mount one."""
    folder = stack.folder / "kafka"
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SPACE_MIB}m", "tmpfs", str(folder)]
    mounted = not subprocess.run(mount, capture_output=True, check=False).returncode
    try:
        yield mounted
    finally:
        stack.kill("kafka")
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


async def fill(log: KafkaMessageLog) -> tuple[dict[int, bytes], Unavailable]:
    """Append until it no longer works: what was acknowledged, and the error."""
    acknowledged: dict[int, bytes] = {}
    for number in range(10_000):
        messages = [Message("k", b"%d %d " % (number, each) + BLOCK) for each in range(5)]
        try:
            places = await log.append(ONE, messages)
        except Unavailable as error:
            return acknowledged, error
        acknowledged |= {place.offset: message.value for place, message in zip(places, messages, strict=True)}
    raise AssertionError("the disk was never full")


async def kept(log: KafkaMessageLog) -> dict[int, bytes]:
    """What the topic holds."""
    found: dict[int, bytes] = {}
    while entries := await log.read(ONE, 0, max(found, default=0), 1_000):
        found |= {entry.offset: entry.value for entry in entries}
    return found


def test_a_full_disk_refuses_appends_in_one_sentence_and_keeps_what_was_acknowledged(stack: Stack) -> None:
    with small_disk(stack) as mounted:
        try:
            stack.up(["kafka"])
        except ForyouError as error:
            servers.give_up(error.sentence)
        if not mounted:  # the same to the broker: its file may not grow
            resource.prlimit(stack.node("kafka").pid(), resource.RLIMIT_FSIZE, (SPACE_MIB << 20, SPACE_MIB << 20))
        asyncio.run(fill_and_relieve(stack, mounted))


async def fill_and_relieve(stack: Stack, mounted: bool) -> None:
    settings = settings_for(stack.addresses().kafka)
    await ensure_topics(settings, [topic(ONE, 1)])
    log = await KafkaMessageLog.open(settings, KafkaConfig.of(settings).model_copy(update={"append_ms": 2_000}))
    acknowledged, error = await fill(log)
    assert len(acknowledged) > 100
    assert error.sentence.startswith("Kafka at 127.0.0.1:")
    assert "disk" in error.sentence
    if mounted:
        remount = ["mount", "-o", f"remount,size={ENOUGH_MIB}m", str(stack.folder / "kafka")]
        subprocess.run(remount, check=True)
    await asyncio.to_thread(stack.kill, "kafka")
    await asyncio.to_thread(stack.start, "kafka")
    there = await kept(log)
    assert {offset: there.get(offset) for offset in acknowledged} == acknowledged
    assert (await log.append(ONE, [Message("k", b"on it goes")]))[0].offset > max(acknowledged)
    await log.close()
