"""Creating the topics of a profile, and refusing those that are too small."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidReplicationFactorError,
    LeaderNotAvailableError,
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from backends.kafka.config import KafkaConfig
from backends.kafka.errors import translated
from core.errors import ConfigError
from core.log import MAX_MESSAGE_BYTES
from core.settings import Settings
from core.topics import DEAD_LETTER_RETENTION_MS, REPLICATION, TOPICS, Profile, Topic

_CREATE_MS: Final = 30_000
_PAUSE_S: Final = 0.05
_BATCH_BYTES: Final = 100_000  # of a record batch beside its messages


async def ensure_topics(settings: Settings, topics: Iterable[Topic] = TOPICS.values()) -> None:
    """Create those that are absent, each with its dead-letter topic; leave the others as the operator has set them.

    Raises ConfigError for a topic with fewer partitions than the profile says (a key would be in another place than
    its readers expect) and for too few brokers, Unavailable when Kafka does not answer.
    """
    config, profile = KafkaConfig.of(settings), settings.kafka_profile
    wanted = {new.name: new for topic in topics for new in _new_topics(config.prefix, topic, profile)}
    async with _admin(config) as admin:
        found = await _check(config, profile, admin, wanted)
        if absent := [new for name, new in wanted.items() if name not in found]:
            await _create(config, profile, admin, absent)
            while len(await _check(config, profile, admin, wanted)) < len(wanted):
                await asyncio.sleep(_PAUSE_S)


async def check_topics(settings: Settings, topics: Iterable[Topic] = TOPICS.values()) -> None:
    """ConfigError for one that is absent or has fewer partitions than the profile says; Unavailable."""
    config, profile = KafkaConfig.of(settings), settings.kafka_profile
    wanted = {new.name: new for topic in topics for new in _new_topics(config.prefix, topic, profile)}
    async with _admin(config) as admin:
        absent = wanted.keys() - await _check(config, profile, admin, wanted)
    if absent:
        raise ConfigError(
            f"{config.place} has no topic {sorted(absent)[0]} ({len(absent)} of {len(wanted)} are absent or have no"
            " leader); `foryou stack init` creates them."
        )


def _new_topics(prefix: str, topic: Topic, profile: Profile) -> list[NewTopic]:
    """The topic, and the one for its dead letters."""
    replicas = REPLICATION[profile]
    common = {
        "max.message.bytes": str(MAX_MESSAGE_BYTES + _BATCH_BYTES),
        "min.insync.replicas": str(min(replicas, 2)),
        # The broker's time: a producer's clock must not decide what is too old to keep.
        "message.timestamp.type": "LogAppendTime",
    }
    kept = {"cleanup.policy": "compact"} if topic.compacted else {"retention.ms": str(topic.retention_ms)}
    return [
        NewTopic(prefix + topic.name, topic.partitions[profile], replicas, topic_configs={**common, **kept}),
        NewTopic(
            prefix + topic.dead_letters, 1, replicas,
            topic_configs={**common, "retention.ms": str(DEAD_LETTER_RETENTION_MS)},
        ),
    ]  # fmt: skip


async def _check(
    config: KafkaConfig, profile: Profile, admin: AIOKafkaAdminClient, wanted: Mapping[str, NewTopic]
) -> set[str]:
    """Which of them are there, each partition with a leader; ConfigError for one with too few partitions."""
    ready = set()
    for found in await admin.describe_topics(list(wanted)):
        error, name, parts = for_code(found["error_code"]), found["topic"], found["partitions"]
        if error is UnknownTopicOrPartitionError:
            continue
        if error not in (NoError, LeaderNotAvailableError):
            raise error(name)
        needed = wanted[name].num_partitions
        if parts and len(parts) < needed:
            raise ConfigError(
                f"{config.place} has the topic {name} with {len(parts)} partitions and the profile {profile!r} needs"
                f" {needed}; add partitions while the topic is empty, or set FORYOU_KAFKA_PROFILE or"
                " FORYOU_KAFKA_PREFIX."
            )
        if parts and all(part["leader"] >= 0 for part in parts):
            ready.add(name)
    return ready


async def _create(
    config: KafkaConfig, profile: Profile, admin: AIOKafkaAdminClient, absent: Sequence[NewTopic]
) -> None:
    """Create them; another process may have been quicker."""
    answer = await admin.create_topics(list(absent), timeout_ms=_CREATE_MS)
    for name, code, *said in answer.topic_errors:
        error = for_code(code)
        if error is InvalidReplicationFactorError:
            raise ConfigError(
                f"{config.place} has too few brokers for the profile {profile!r}, which keeps"
                f" {REPLICATION[profile]} copies; add brokers or set FORYOU_KAFKA_PROFILE=local."
            )
        if error not in (NoError, TopicAlreadyExistsError):
            raise error(f"{name}: {said[0] if said else ''}")


@asynccontextmanager
async def _admin(config: KafkaConfig) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.servers, client_id="foryou", request_timeout_ms=_CREATE_MS)
    with translated(config.place, "show or create its topics"):
        async with asyncio.timeout(_CREATE_MS / 1000):
            try:
                await admin.start()
                yield admin
            finally:
                await admin.close()
