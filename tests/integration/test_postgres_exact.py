"""Counters stay exact: under many writers, replays and reordering, and while the server is killed or stands still."""

import asyncio
import random
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from backends.postgres.database import PostgresConfig, PostgresDatabase
from backends.postgres.migrate import migrate
from backends.postgres.social import PostgresTotals
from backends.postgres.tables import PostgresTables
from core.catalogue import Relations, ViewerRecord
from core.errors import Unavailable
from core.settings import Settings
from deploy.stack import Stack
from tests.contracts.likes import USERS, VIDEOS, recount
from tests.integration import servers
from tests.integration.postgres_databases import Databases
from tests.integration.postgres_load import (
    deadlocks,
    deliver,
    made_log,
    one_task,
    sizes,
    until_it_answers,
    wrong_counts,
)

_SLACK_S = 1.0  # of a busy machine; closing a silent connection in order alone would take two
_RIGHT = {"users": [], "videos": [], "comments": []}


async def _check(database: PostgresDatabase, seed: int, length: int) -> None:
    """Every counter equals a recount of the rows, and the rows are those that the log gives when read in order."""
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    assert min((await sizes(url)).values()) > 5
    assert await wrong_counts(url) == _RIGHT
    totals = PostgresTotals(database)
    users, videos = recount(made_log(seed, length))
    assert dict(zip(USERS, await totals.users(USERS), strict=True)) == users
    found = [video.likes for video in await totals.videos(VIDEOS)]
    assert dict(zip(VIDEOS, found, strict=True)) == {video: known.likes for video, known in videos.items()}


def test_sixteen_writers_in_two_processes_leave_every_counter_equal_to_a_recount() -> None:
    seed, length = 7, 1_000
    databases = Databases(servers.require("postgres").postgres)

    async def make() -> Settings:
        return await databases.made()

    async def check() -> None:
        await _check(databases.open(settings), seed, length)
        assert await deadlocks(settings.postgres) == 0
        await databases.close()

    settings = asyncio.run(make())
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = [range(8), range(8, 16)]
        done = [pool.submit(deliver, settings.postgres, seed, length, part, 16) for part in parts]
        assert sum(part.result() for part in done) > 500
    asyncio.run(check())


@pytest.fixture(scope="module")
def own_server() -> Stack:
    """A server that these tests may break."""
    servers.require("postgres")  # skips, or fails in CI, where there is none
    stack = servers.stack_of_its_own("postgres-to-break")
    stack.up(["postgres"])
    return stack


def test_a_kill_of_the_server_in_the_middle_loses_and_doubles_nothing(own_server: Stack) -> None:
    asyncio.run(_killed(own_server))


async def _killed(stack: Stack) -> None:
    seed, length = 11, 6_000
    databases = Databases(stack.addresses().postgres)
    settings = await databases.made()
    database = databases.open(settings)
    log = made_log(seed, length)
    writers = asyncio.gather(*(one_task(database, log, random.Random(task), task, 8) for task in range(8)))
    for _ in range(2):
        await asyncio.sleep(0.5)
        assert not writers.done()
        await asyncio.to_thread(stack.kill, "postgres")
        await _while_it_is_away(database)
        await asyncio.to_thread(stack.start, "postgres")
    await writers
    await _check(database, seed, length)
    await databases.close()


async def _while_it_is_away(database: PostgresDatabase) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        await PostgresTables(database).relations("u1")
    assert time.monotonic() - began < database.config.read_s + _SLACK_S


def test_a_server_that_stands_still_holds_no_caller_beyond_its_time(own_server: Stack) -> None:
    asyncio.run(_stands_still(own_server))


async def _stands_still(stack: Stack) -> None:
    databases = Databases(stack.addresses().postgres, PostgresConfig(pool_size=2, read_s=0.6, write_s=0.8))
    database = databases.open(await databases.made())
    tables = PostgresTables(database)
    for _ in range(2):
        await until_it_answers(lambda: asyncio.gather(*(tables.relations("u1") for _ in range(2))))
    stack.suspend("postgres")
    try:
        for _ in range(2):
            for most, act in ((0.6, tables.relations("u1")), (0.8, tables.put_users([ViewerRecord(user_id="u1")]))):
                began = time.monotonic()
                with pytest.raises(Unavailable, match=r"has not answered within|does not answer"):
                    await act
                assert time.monotonic() - began < most + _SLACK_S
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tables.relations("u1"), 0.15)
        assert time.monotonic() - began < 0.15 + _SLACK_S
    finally:
        stack.resume("postgres")
    said = await until_it_answers(lambda: tables.relations("u1"))
    assert len(said) < 40
    assert await tables.relations("u1") == Relations()
    await databases.close()


def test_a_restart_between_two_calls_is_not_noticed(own_server: Stack) -> None:
    asyncio.run(_restarted(own_server))


async def _restarted(stack: Stack) -> None:
    databases = Databases(stack.addresses().postgres)
    settings = await databases.made()
    tables = PostgresTables(databases.open(settings))
    await asyncio.gather(*(tables.relations("u1") for _ in range(8)))
    await asyncio.to_thread(stack.kill, "postgres")
    await asyncio.to_thread(stack.start, "postgres")
    assert await asyncio.gather(*(tables.relations("u1") for _ in range(8))) == [Relations()] * 8
    await migrate(settings)
    await databases.close()
