"""HistoryStore and Interactions on Cassandra: idempotent rows, a few round trips a micro-batch, paged reads."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, Final

from cassandra.query import BatchStatement, BatchType, BoundStatement, PreparedStatement, Statement

from backends.cassandra.rows import Row, date_of, partition_of, rows_of, standing
from backends.cassandra.schema import INSERTS, SELECTS, TABLES, keyspace
from backends.cassandra.session import CAREFUL, READ, CassandraSession
from core.catalogue import Reactions
from core.errors import Unavailable
from core.history import DAY_MS, HOUR_MS, ActivityHour, Interaction, days_of
from core.ports import Record
from core.settings import Settings

_WRITERS: Final = 64  # requests on the way at once
_BATCH_BYTES: Final = 4_096  # Cassandra warns of batches above 5 KiB and refuses those above 50
_BATCH_PARTITIONS: Final = 10  # and of more partitions; three viewers of this moment have nine
_PATIENCE_S: Final = 10.0  # for writes and for reads that no request waits for; the server gives up first
_HOURS: Final = 24


class CassandraHistory:
    """What each viewer has seen and done."""

    def __init__(self, session: CassandraSession, read_timeout_s: float, writers: int = _WRITERS) -> None:
        self._session, self._read_s, self._writers = session, read_timeout_s, writers
        self._inserts = {name: session.prepare(cql) for name, cql in INSERTS.items()}
        self._selects: dict[str, PreparedStatement] = {name: session.prepare(cql) for name, cql in SELECTS.items()}

    @classmethod
    async def open(cls, settings: Settings, *, patience_s: float = 30.0) -> "CassandraHistory":
        """Connect, for `patience_s` again and again. Raises Unavailable; ConfigError for settings that cannot be and
        where the keyspace or a table is missing."""
        session = await _connected(settings, patience_s)
        try:
            return await asyncio.to_thread(cls, session, settings.cassandra_timeout_ms / 1000)
        except BaseException:
            await asyncio.to_thread(session.close)
            raise

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.to_thread(self._session.close)

    async def record(self, records: Sequence[Record]) -> None:
        """Write the rows of viewer events; acknowledged by as many replicas as FORYOU_CASSANDRA_WRITE says."""
        rows: defaultdict[str, dict[Row, None]] = defaultdict(dict)
        for record in records:
            for row in rows_of(record):
                rows[row[1][0]][row] = None
        await self._write(self._batches(chain.from_iterable(rows.values())))

    def _batches(self, rows: Iterable[Row]) -> Iterator[Statement]:
        """Rows, those of a viewer side by side, in as few requests as size and number of partitions allow."""
        batch, size, places = _batch(), 0, set[Any]()
        for table, values in rows:
            statement: BoundStatement = self._inserts[table].bind(values)
            needs = sum(len(value) for value in statement.values)
            if needs > _BATCH_BYTES:
                yield statement
                continue
            place = partition_of(table, values)
            if size + needs > _BATCH_BYTES or (len(places) == _BATCH_PARTITIONS and place not in places):
                yield batch
                batch, size, places = _batch(), 0, set()
            batch.add(statement)
            size += needs
            places.add(place)
        if size:
            yield batch

    async def _write(self, statements: Iterator[Statement]) -> None:
        """Send them, some at once and one for each turn of the loop; the first failure ends it."""
        slots, sent, failed = asyncio.Semaphore(self._writers), list[asyncio.Task[None]](), asyncio.Event()

        def settled(task: asyncio.Task[None]) -> None:
            slots.release()
            if not task.cancelled() and task.exception():
                failed.set()

        try:
            for statement in statements:
                await slots.acquire()
                if failed.is_set():
                    break
                sent.append(asyncio.create_task(self._session.write(statement, _PATIENCE_S)))
                sent[-1].add_done_callback(settled)
                await asyncio.sleep(0)
            await asyncio.gather(*sent)
        finally:
            for task in sent:
                task.cancel()

    async def seen(self, viewer_id: str) -> list[str]:
        """Video ids, oldest first sight first, within FORYOU_CASSANDRA_TIMEOUT_MS."""
        rows = await self._of_viewer("seen", viewer_id, READ, self._read_s)
        return list(dict.fromkeys(video for (video,) in rows))

    async def seen_between(self, viewer_id: str, from_ms: int, until_ms: int) -> list[str]:
        """Video ids with a sight in the interval, within FORYOU_CASSANDRA_TIMEOUT_MS."""
        if not viewer_id:
            return []
        statement = self._selects["seen_between"].bind((viewer_id, from_ms, until_ms))
        rows = await self._session.rows(statement, READ, self._read_s)
        # Newest last: of several sights the last one gives the place.
        return list(dict.fromkeys(video for (video,) in reversed(rows)))[::-1]

    async def reactions(self, viewer_id: str) -> Reactions:
        """Likes and saves that stand, within FORYOU_CASSANDRA_TIMEOUT_MS."""
        return standing(await self._of_viewer("reactions", viewer_id, READ, self._read_s))

    async def interactions(self, viewer_id: str) -> list[Interaction]:
        """Everything that is kept of a viewer, oldest first; months are read one after the other."""
        found: list[Interaction] = []
        for (month,) in await self._of_viewer("months", viewer_id, CAREFUL, _PATIENCE_S):
            statement = self._selects["interactions"].bind((viewer_id, month))
            async for page in self._session.pages(statement, CAREFUL, _PATIENCE_S):
                found += (Interaction(*row) for row in page)
        return sorted(found)

    async def _of_viewer(self, name: str, viewer_id: str, profile: str, timeout_s: float) -> list[Any]:
        if not viewer_id:  # Cassandra has no empty keys, and nobody has this id
            return []
        return await self._session.rows(self._selects[name].bind((viewer_id,)), profile, timeout_s)

    async def activity(self, viewer_id: str, from_ms: int, until_ms: int) -> list[ActivityHour]:
        """The hours with events that began in [from_ms, until_ms), as sums where they are compacted."""
        days = iter(days_of(from_ms, until_ms) if viewer_id else [])
        found: list[ActivityHour] = []

        async def drain() -> None:
            for day in days:
                found.extend(await self._day(viewer_id, day))

        await asyncio.gather(*(drain() for _ in range(self._writers)))
        return sorted(hour for hour in found if from_ms <= hour.hour_ms < until_ms)

    async def _day(self, viewer_id: str, day: int) -> list[ActivityHour]:
        rows = await self._of_day("hours", viewer_id, day)
        done = rows[0][0] or 0 if rows else 0
        counts = [row[1:] for row in rows if row[1] is not None and row[1] < done]
        if done < _HOURS:
            counts += await self._of_day("events", viewer_id, day, done, _HOURS)
        return [ActivityHour(day * DAY_MS + hour * HOUR_MS, kind, count) for hour, kind, count in counts]

    async def _of_day(self, name: str, viewer_id: str, day: int, *hours: int) -> list[Any]:
        statement = self._selects[name].bind((viewer_id, date_of(day), *hours))
        return await self._session.rows(statement, CAREFUL, _PATIENCE_S)

    async def compact(self, closed_ms: int) -> int:
        """Sum up the hours that ended by `closed_ms`; days that are done are passed over, so it may end anywhere."""
        changed = 0
        async for page in self._session.pages(self._selects["days"].bind(()), CAREFUL, _PATIENCE_S):
            days = ((viewer, day.days_from_epoch) for viewer, day in page)
            closed = ((viewer, day, min((closed_ms - day * DAY_MS) // HOUR_MS, _HOURS)) for viewer, day in days)
            due = iter([(viewer, day, hours) for viewer, day, hours in closed if hours > 0])
            changed += sum(await asyncio.gather(*(self._compact_all(due) for _ in range(self._writers))))
        return changed

    async def _compact_all(self, due: Iterator[tuple[str, int, int]]) -> int:
        return sum([await self._compact_day(viewer, day, hours) for viewer, day, hours in due])

    async def _compact_day(self, viewer_id: str, day: int, hours: int) -> bool:
        rows = await self._of_day("hours", viewer_id, day)
        done = rows[0][0] or 0 if rows else 0
        if done >= hours:
            return False
        counts = await self._of_day("events", viewer_id, day, done, hours)
        key = (viewer_id, date_of(day))
        sums: list[Row] = [("activity_hours", (*key, *row)) for row in counts]
        for statement in self._batches(sums):
            await self._session.write(statement, _PATIENCE_S)
        await self._session.write(self._inserts["hours_done"].bind((*key, hours)), _PATIENCE_S)
        return True


async def ensure_schema(settings: Settings, *, patience_s: float = 30.0) -> None:
    """Make the keyspace and the tables where they are missing, and wait until all nodes agree. Raises ConfigError,
    Unavailable. One process at a time."""
    session = await _connected(settings, patience_s, with_keyspace=False)
    try:
        await session.define(keyspace(session.keyspace, settings.cassandra_replication))
        await session.define(f"USE {session.keyspace}")
        for cql in TABLES.values():
            await session.define(cql)
    finally:
        await asyncio.to_thread(session.close)


async def _connected(settings: Settings, patience_s: float, *, with_keyspace: bool = True) -> CassandraSession:
    """Connect; while the server is away again and again, at longer and longer intervals."""
    end, pause = time.monotonic() + patience_s, 0.25
    while True:
        try:
            return await asyncio.to_thread(CassandraSession.connect, settings, with_keyspace=with_keyspace)
        except Unavailable:
            if time.monotonic() + pause > end:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, 4.0)


def _batch() -> BatchStatement:
    """All rows or, after a failure, any of them: the statements are idempotent, so no batch log is needed."""
    batch = BatchStatement(batch_type=BatchType.UNLOGGED)
    batch.is_idempotent = True
    return batch
