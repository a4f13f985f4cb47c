"""Write a word to each kind of server and read it back, with the clients that the product uses."""

import asyncio
import os
import subprocess
from urllib.parse import urlsplit

from deploy import programs
from tests.integration.servers import unique


def kafka(address, replicas=1):
    """(write, read) of one record."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    topic = unique("kept")

    async def write(word):
        admin = AIOKafkaAdminClient(bootstrap_servers=address)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, replicas)])
        await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
            await producer.send_and_wait(topic, word.encode())

    async def read():
        consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 0)])
            return (await asyncio.wait_for(consumer.getone(), 30)).value.decode()
        finally:
            await consumer.stop()

    return lambda word: asyncio.run(write(word)), lambda: asyncio.run(read())


def cassandra(address):
    """(write, read) of one row."""
    from cassandra.cluster import Cluster

    host, port = address.split(":")
    keyspace = unique("kept")

    def ask(*statements):
        with Cluster([host], port=int(port)) as cluster:
            session = cluster.connect()
            return [session.execute(statement).one() for statement in statements]

    def write(word):
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        ask(
            f"CREATE KEYSPACE {keyspace} WITH replication = {replication}",
            f"CREATE TABLE {keyspace}.words (id int PRIMARY KEY, word text)",
            f"INSERT INTO {keyspace}.words (id, word) VALUES (1, '{word}')",
        )

    return write, lambda: ask(f"SELECT word FROM {keyspace}.words WHERE id = 1")[0].word


def redis(address):
    """(write, read) of one key."""
    from redis import Redis

    key = unique("kept")

    def write(word):
        with Redis.from_url(address) as client:
            client.set(key, word)

    def read():
        with Redis.from_url(address) as client:
            return client.get(key).decode()

    return write, read


def postgres(address):
    """(write, read) of one row."""
    table, parts = unique("kept"), urlsplit(address)

    def ask(sql):
        command = [str(programs.postgres() / "psql"), "-h", parts.hostname, "-p", str(parts.port), "-U", parts.username]
        environment = dict(os.environ, PGPASSWORD=parts.password)
        command += ["-d", parts.path[1:], "-v", "ON_ERROR_STOP=1", "-qtAc", sql]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    return lambda word: ask(f"CREATE TABLE {table} AS SELECT '{word}' AS word"), lambda: ask(
        f"SELECT word FROM {table}"
    )
