"""The embedded message log keeps the contract, and its groups hold between processes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from backends.sqlite.database import Database
from backends.sqlite.message_log import SqliteMessageLog
from core.log import Message, MessageLog
from tests.contracts.message_log import MANY, ONE, PARTITIONS, MessageLogContract, Told, drain, spread, until, values


class TestSqliteMessageLog(MessageLogContract):
    async def open_log(self, place: Path, partitions: Mapping[str, int]) -> MessageLog:
        return SqliteMessageLog(Database(place / "log.db", durable=False), partitions)


def test_members_in_two_processes_share_the_partitions(tmp_path: Path) -> None:
    async def body() -> None:
        logs = [SqliteMessageLog(Database(tmp_path / "log.db", durable=False), PARTITIONS) for _ in range(2)]
        told = [Told(), Told()]
        members = [await log.join("g", [MANY], mine) for log, mine in zip(logs, told, strict=True)]
        await until(members, lambda: all(len(mine.mine) == 2 for mine in told))
        await logs[0].append(MANY, spread(100))
        got = await drain(*members, count=100)
        assert sorted(values(got[0] + got[1])) == list(range(100))

    asyncio.run(body())


def test_a_member_that_dies_loses_its_partitions_after_its_lease(tmp_path: Path) -> None:
    now_ms = 1_700_000_000_000

    async def body() -> None:
        nonlocal now_ms
        log = SqliteMessageLog(
            Database(tmp_path / "log.db", durable=False), PARTITIONS, clock=lambda: now_ms, lease_ms=10_000
        )
        await log.append(ONE, [Message("k", b"1")])
        dead, heir = Told(), Told()
        first = await log.join("g", [ONE], dead)
        assert len(await first.poll(10, 0)) == 1
        second = await log.join("g", [ONE], heir)
        now_ms += 9_000
        assert await second.poll(10, 0) == []
        now_ms += 2_000
        assert len(await second.poll(10, 0)) == 1
        await first.commit({(ONE, 0): 1})  # too late: it is no longer its own
        assert await first.poll(10, 0) == []
        assert [kind for kind, _, _ in dead.events] == ["assigned", "revoked"]
        await second.close()
        now_ms += 200
        assert len(await first.poll(10, 0)) == 1

    asyncio.run(body())
