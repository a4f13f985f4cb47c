"""A member of a consumer group whose shares are leases in the log's own SQLite file."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from uuid import uuid4

from backends.sqlite.database import Database, Row
from core.clock import Clock
from core.log import Assignment, Entry, by_topic

Part = tuple[str, int]

_SHARE_EVERY_MS: Final = 100
_NAP_S: Final = 0.01


class Log(Protocol):
    """What a consumer needs of its log."""

    async def read(self, topic: str, partition: int, after: int, limit: int) -> list[Entry]:
        """Messages after an offset."""
        ...

    async def bury(self, entry: Entry, reason: str) -> None:
        """Put a message into its dead-letter topic."""
        ...


class SqliteConsumer:
    """Its share is n/m of the partitions: it gives back what is more, takes what is free, keeps what it has."""

    def __init__(
        self,
        log: Log,
        database: Database,
        group: str,
        partitions: Sequence[Part],
        assignment: Assignment | None,
        clock: Clock,
        lease_ms: int,
    ) -> None:
        self._log, self._database, self._group = log, database, group
        self._partitions, self._assignment = list(partitions), assignment
        self._clock, self._lease_ms = clock, lease_ms
        self._member = uuid4().hex
        self._after: dict[Part, int] = {}
        self._shared_ms = self._seen_ms = 0
        self._turn = 0

    async def poll(self, limit: int, wait_ms: int) -> list[Entry]:
        """At most `limit` messages of our partitions, each partition in order; empty after `wait_ms`."""
        until = asyncio.get_running_loop().time() + wait_ms / 1000
        while True:
            if self._clock() - self._shared_ms >= _SHARE_EVERY_MS:
                await self._share()
            entries = await self._next(limit)
            left = until - asyncio.get_running_loop().time()
            if entries or left <= 0:
                return entries
            await asyncio.sleep(min(_NAP_S, left))

    async def commit(self, done: Mapping[Part, int]) -> None:
        """Remember these offsets where the partition is still ours."""
        self._database.execute_many(
            "INSERT OR REPLACE INTO message_commits SELECT name, topic, partition, ? FROM message_leases"
            " WHERE name = ? AND topic = ? AND partition = ? AND member = ?",
            [(offset, self._group, topic, partition, self._member) for (topic, partition), offset in done.items()],
        )

    async def reject(self, entry: Entry, reason: str) -> None:
        """Put a message that can never be used into its dead-letter topic with the reason."""
        await self._log.bury(entry, reason)

    async def close(self) -> None:
        """Let our partitions go and leave the group."""
        await self._let_go(list(self._after))
        sql = "DELETE FROM message_{} WHERE name = ? AND member = ?"
        with self._database.transaction():
            self._database.execute(sql.format("leases"), (self._group, self._member))
            self._database.execute(sql.format("members"), (self._group, self._member))

    async def _next(self, limit: int) -> list[Entry]:
        """From each partition in turn, so that a long one does not starve the others."""
        parts, entries = sorted(self._after), list[Entry]()
        self._turn += 1
        for place in range(len(parts)):
            part = parts[(place + self._turn) % len(parts)]
            found = await self._log.read(*part, self._after[part], limit - len(entries))
            if found:
                self._after[part] = found[-1].offset
                entries += found
            if len(entries) == limit:
                break
        return entries

    async def _share(self) -> None:
        held, surplus = self._claim()
        lost = [part for part in self._after if part not in held]
        await self._let_go([*lost, *surplus])
        await self._take([part for part in held if part not in self._after and part not in surplus])
        self._shared_ms = self._clock()

    def _claim(self) -> tuple[set[Part], list[Part]]:
        """Say that we live, bury the dead and take what is free; what we hold, and what of it is too much."""
        now_ms = self._clock()
        with self._database.transaction():
            self._be_seen(now_ms)
            members = [row[0] for row in self._rows("SELECT member FROM message_members WHERE name = ? ORDER BY 1")]
            found = self._rows("SELECT topic, partition, member FROM message_leases WHERE name = ?")
            leases: dict[Part, str] = {(topic, number): member for topic, number, member in found}
            held = sorted(part for part, member in leases.items() if member == self._member)
            each, rest = divmod(len(self._partitions), len(members))
            quota = each + (members.index(self._member) < rest)
            free = [part for part in self._partitions if part not in leases][: max(quota - len(held), 0)]
            self._database.execute_many(
                "INSERT INTO message_leases VALUES (?, ?, ?, ?)", [(self._group, *part, self._member) for part in free]
            )
        return {*held, *free}, held[quota:]

    def _be_seen(self, now_ms: int) -> None:
        """Our own sign of life, and the end of members that gave none for too long."""
        oldest = now_ms - self._lease_ms
        if now_ms - self._seen_ms >= self._lease_ms // 4:
            sql = "INSERT OR REPLACE INTO message_members VALUES (?, ?, ?)"
            self._database.execute(sql, (self._group, self._member, now_ms))
            self._seen_ms = now_ms
        for (member,) in self._database.rows(
            "SELECT member FROM message_members WHERE name = ? AND seen_ms < ?", (self._group, oldest)
        ):
            for table in ("members", "leases"):
                sql = f"DELETE FROM message_{table} WHERE name = ? AND member = ?"
                self._database.execute(sql, (self._group, member))

    async def _let_go(self, parts: Sequence[Part]) -> None:
        """Tell it, then give the leases back; a lease that is lost already belongs to another."""
        for topic, numbers in by_topic(part for part in parts if part in self._after).items():
            if self._assignment is not None:
                await self._assignment.revoked(topic, numbers)
            for number in numbers:
                del self._after[(topic, number)]
        self._database.execute_many(
            "DELETE FROM message_leases WHERE name = ? AND topic = ? AND partition = ? AND member = ?",
            [(self._group, *part, self._member) for part in parts],
        )

    async def _take(self, parts: Sequence[Part]) -> None:
        for topic, numbers in by_topic(parts).items():
            own = await self._assignment.assigned(topic, numbers) if self._assignment is not None else {}
            for number in numbers:
                self._after[(topic, number)] = own[number] if number in own else self._committed(topic, number)

    def _committed(self, topic: str, partition: int) -> int:
        sql = "SELECT offset FROM message_commits WHERE name = ? AND topic = ? AND partition = ?"
        found = self._database.row(sql, (self._group, topic, partition))
        return int(found[0]) if found else 0

    def _rows(self, sql: str) -> list[Row]:
        return self._database.rows(sql, (self._group,))
