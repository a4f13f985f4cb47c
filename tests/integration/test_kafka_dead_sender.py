"""A driver whose sending task has died of a bug of its own is an outage, and the next append starts another one."""

import asyncio

import pytest

from backends.kafka.message_log import KafkaMessageLog
from backends.kafka.topics import ensure_topics
from core.errors import Unavailable
from core.log import Message
from core.topics import USER_INTERACTION
from tests.integration import servers
from tests.integration.kafka_topics import settings_for, topic


def test_appends_that_wait_while_the_sender_dies_are_unavailable_and_later_ones_arrive():
    settings = settings_for(servers.require("kafka").kafka)

    async def body():
        await ensure_topics(settings, [topic(USER_INTERACTION, 1)])
        log = await KafkaMessageLog.open(settings)
        try:
            await log.append(USER_INTERACTION, [Message("a", b"1")])
            # What aiokafka does where a batch that it asks again for was given up meanwhile.
            log._producer._live._message_accumulator.fail_all(KeyError("batch"))
            with pytest.raises(Unavailable):
                await log.append(USER_INTERACTION, [Message("a", b"2")])
            assert len(await log.append(USER_INTERACTION, [Message("a", b"3")])) == 1
        finally:
            await log.close()

    asyncio.run(body())
