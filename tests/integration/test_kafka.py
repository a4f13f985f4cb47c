"""Kafka keeps the contract of the message log."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from backends.kafka.config import KafkaConfig
from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.shares import shares
from backends.kafka.topics import check_topics, ensure_topics
from core.errors import ConfigError, CorruptData, SchemaMismatch, Unavailable
from core.events import SCHEMA_VERSION, decode, encode
from core.log import Bounds, Message, MessageLog
from core.settings import Settings
from core.topics import DEAD_LETTER_RETENTION_MS, TOPICS, VIDEO_STATE, WEEK_MS
from tests.contracts.events import like
from tests.contracts.message_log import ONE, PATIENCE_S, MessageLogContract, Told, drain, member, numbered, values
from tests.integration import servers
from tests.integration.kafka_topics import settings_for, topic


class TestKafkaMessageLog(MessageLogContract):
    @pytest.fixture(autouse=True)
    def _settings(self) -> None:
        self.settings = settings_for(servers.require("kafka").kafka)

    async def open_log(self, place: Path, partitions: Mapping[str, int]) -> MessageLog:
        topics = [topic(name, count) for name, count in partitions.items() if not name.endswith(".dead")]
        await ensure_topics(self.settings, topics)
        return await KafkaMessageLog.open(self.settings)


@pytest.fixture
def settings() -> Settings:
    return settings_for(servers.require("kafka").kafka)


def test_topics_are_created_once_with_what_the_table_says(settings: Settings) -> None:
    async def body() -> None:
        await asyncio.gather(ensure_topics(settings), ensure_topics(settings))  # two processes start together
        await ensure_topics(settings)
        await check_topics(settings)
        log = await KafkaMessageLog.open(settings)
        for one in TOPICS.values():
            assert await log.bounds(one.name) == [Bounds(1, 0)] * one.partitions["local"]
            assert await log.bounds(one.dead_letters) == [Bounds(1, 0)]
        await log.close()
        state, dead = [f"{settings.kafka_prefix}{name}" for name in (VIDEO_STATE, TOPICS[VIDEO_STATE].dead_letters)]
        usual = settings.kafka_prefix + "user.interaction"
        configs = await _configs(settings, [state, dead, usual])
        assert configs[state]["cleanup.policy"] == "compact"
        assert configs[dead]["retention.ms"] == str(DEAD_LETTER_RETENTION_MS)
        assert (configs[usual]["cleanup.policy"], configs[usual]["retention.ms"]) == ("delete", str(WEEK_MS))

    asyncio.run(body())


async def _configs(settings: Settings, names: list[str]) -> dict[str, dict[str, str]]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    await admin.close()
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answer.resources}


def test_a_topic_with_fewer_partitions_than_the_setting_is_refused_and_more_are_fine(settings: Settings) -> None:
    async def body() -> None:
        await ensure_topics(settings, [topic("t", 3)])
        await ensure_topics(settings, [topic("t", 2)])
        for look in (ensure_topics, check_topics):
            with pytest.raises(ConfigError, match=r"topic \S+\.t with 3 partitions and the profile 'local' needs 4; "):
                await look(settings, [topic("t", 4)])

    asyncio.run(body())


def test_an_absent_topic_is_named_at_the_start(settings: Settings) -> None:
    with pytest.raises(
        ConfigError, match=r"has no topic \S+\.t \(2 of 2 are absent .*`foryou stack init` creates them"
    ):
        asyncio.run(check_topics(settings, [topic("t", 1)]))


def test_a_profile_that_needs_more_brokers_says_so(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="too few brokers for the profile 'spec', which keeps 3 copies"):
        asyncio.run(ensure_topics(settings.model_copy(update={"kafka_profile": "spec"}), [topic("t", 1)]))


def test_a_broker_that_is_not_there_is_one_sentence_after_a_bounded_time() -> None:
    settings = Settings(kafka="127.0.0.1:9")
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:9 did not answer for 1 s; start it \(`foryou stack"):
        asyncio.run(KafkaMessageLog.open(settings, KafkaConfig(servers=settings.kafka, start_ms=1_000)))
    assert 0.5 < time.monotonic() - began < 5
    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:9 does not show or create its topics"):
        asyncio.run(ensure_topics(settings))


def test_events_of_a_newer_schema_and_noise_become_dead_letters_and_the_partition_goes_on(settings: Settings) -> None:
    newer = encode(msgspec.structs.replace(like(2), schema=SCHEMA_VERSION + 1))

    async def body() -> None:
        await ensure_topics(settings, [topic(ONE, 1)])
        log = await KafkaMessageLog.open(settings)
        await log.append(
            ONE, [Message("u", raw) for raw in (encode(like(1)), newer, b"\xff\x00noise", encode(like(3)))]
        )
        async with member(log, "g", ONE) as consumer:
            kept = []
            for entry in (await drain(consumer, count=4))[0]:
                try:
                    kept.append(decode(entry.value))
                except SchemaMismatch as error:
                    await consumer.reject(entry, error.sentence)
        assert kept == [like(1), like(3)]
        dead = await log.read(f"{ONE}.dead", 0, 0, 10)
        assert [entry.value for entry in dead] == [newer, b"\xff\x00noise"]
        assert f"has schema {SCHEMA_VERSION + 1}" in dead[0].headers["reason"]
        assert "cannot be read" in dead[1].headers["reason"]
        await log.close()

    asyncio.run(body())


def test_what_retention_took_is_said_and_never_passed_over(settings: Settings) -> None:
    async def body() -> None:
        await ensure_topics(settings, [topic(ONE, 1)])
        log = await KafkaMessageLog.open(settings)
        await log.append(ONE, numbered(100))
        async with member(log, "g", ONE) as consumer:
            await drain(consumer, count=100, commit=False)
            await consumer.commit({(ONE, 0): 20})
        await _delete(settings, ONE, before=51)
        assert await log.bounds(ONE) == [Bounds(51, 100)]
        with pytest.raises(CorruptData, match=r"no longer holds offset 31 of \S+one \[0\]; read it from the archive"):
            await log.read(ONE, 0, 30, 10)
        assert [entry.offset for entry in await log.read(ONE, 0, 50, 3)] == [51, 52, 53]
        async with member(log, "g", ONE) as consumer:
            for _ in range(2):
                with pytest.raises(CorruptData, match=r"does not hold offset 21 of one \[0\], which g reads next"):
                    await _poll_until_it_raises(consumer)
        async with member(log, "g", ONE, Told({0: 500})) as consumer:
            with pytest.raises(CorruptData, match=r"does not hold offset 501 of one \[0\]"):
                await _poll_until_it_raises(consumer)
        async with member(log, "g", ONE, Told({0: 50})) as consumer:
            assert values((await drain(consumer, count=50))[0]) == list(range(50, 100))
        async with member(log, "fresh", ONE) as consumer:  # a new group begins at what there is
            assert values((await drain(consumer, count=50))[0]) == list(range(50, 100))
        await log.close()

    asyncio.run(body())


async def _delete(settings: Settings, name: str, before: int) -> None:
    """As retention would: what has an offset below `before`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    await admin.delete_records({TopicPartition(settings.kafka_prefix + name, 0): RecordsToDelete(before - 1)})
    await admin.close()


async def _poll_until_it_raises(consumer: object) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            assert await consumer.poll(10, 100) == []  # type: ignore[attr-defined]


def test_shares_are_fair_and_stay() -> None:
    parts = [("t", number) for number in range(10)]
    first = shares(parts, {"a": [], "b": []})
    assert sorted(first["a"] + first["b"]) == parts
    assert {len(given) for given in first.values()} == {5}
    third = shares(parts, {**first, "c": []})
    assert sorted(len(given) for given in third.values()) == [3, 3, 4]
    assert set(third["a"]) <= set(first["a"])
    assert set(third["b"]) <= set(first["b"])
    # b leaves: its partitions are divided, nobody loses one.
    left = shares(parts, {"a": third["a"], "c": third["c"]})
    assert set(left["a"]) >= set(third["a"])
    assert set(left["c"]) >= set(third["c"])
    # Two who claim the same get each of them once; more members than partitions leaves some without.
    both = shares(parts[:3], {"a": parts[:3], "b": parts[:3], "c": [], "d": []})
    assert sorted(part for given in both.values() for part in given) == parts[:3]
    assert sorted(map(len, both.values())) == [0, 1, 1, 1]
