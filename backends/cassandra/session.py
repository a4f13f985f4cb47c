"""A connection to Cassandra: who is asked, what is tried again, and the driver's callbacks as awaitables."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from cassandra import ConsistencyLevel, ProtocolVersion
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.query import PreparedStatement, Statement, tuple_factory

from backends.cassandra.errors import translated
from core.errors import ConfigError, Unavailable
from core.settings import Settings

READ, WRITE, CAREFUL = "read", EXEC_PROFILE_DEFAULT, "careful"
_PAGE_ROWS: Final = 5_000
_RECONNECT_S: Final = 0.5
_CONNECT_S: Final = 5.0
_LEVELS: Final = {
    name: level
    for level, name in ConsistencyLevel.value_to_name.items()
    if name not in ("ANY", "SERIAL", "LOCAL_SERIAL")  # the first is not durable, the others are for transactions
}
_KEYSPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")


class IdempotentRetry(RetryPolicy):  # type: ignore[misc]
    """Tries an idempotent statement again, twice at most; any other never, since it may have been applied."""

    _MOST = 2

    def on_read_timeout(self, query: Any, consistency: int, *_: Any, retry_num: int, **__: Any) -> tuple[int, Any]:
        """A replica was slow: ask once more."""
        return self._again(query, consistency, retry_num, self.RETRY)

    def on_write_timeout(self, query: Any, consistency: int, *_: Any, retry_num: int, **__: Any) -> tuple[int, Any]:
        """It may or may not have been written: write it again."""
        return self._again(query, consistency, retry_num, self.RETRY)

    def on_unavailable(self, query: Any, consistency: int, *_: Any, retry_num: int, **__: Any) -> tuple[int, Any]:
        """Nothing was written: another coordinator may see more replicas."""
        return self._again(query, consistency, retry_num, self.RETRY_NEXT_HOST)

    def on_request_error(self, query: Any, consistency: int, error: Any, retry_num: int) -> tuple[int, Any]:
        """The connection broke or the node is overloaded: another node."""
        return self._again(query, consistency, retry_num, self.RETRY_NEXT_HOST)

    def _again(self, query: Any, consistency: int, retry_num: int, how: int) -> tuple[int, Any]:
        if getattr(query, "is_idempotent", False) and retry_num < self._MOST:
            return how, consistency
        return self.RETHROW, None


@dataclass(frozen=True)
class CassandraSession:
    """An open session; close it once. It may be used from any event loop, one after the other."""

    cluster: Cluster
    session: Session
    where: str
    keyspace: str

    @classmethod
    def connect(cls, settings: Settings, *, with_keyspace: bool = True) -> "CassandraSession":
        """Blocks until connected. Raises ConfigError for settings that cannot be, Unavailable."""
        points, keyspace = contact_points(settings.cassandra), keyspace_name(settings)
        with translated(settings.cassandra, keyspace):
            cluster = Cluster(
                contact_points=points,
                port=points[0][1],
                execution_profiles=_profiles(settings),
                reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
                connection_class=LibevConnection,  # a thread of its own in C; asyncore ends with Python 3.12
                protocol_version=ProtocolVersion.V5,
                connect_timeout=_CONNECT_S,
                control_connection_timeout=_CONNECT_S,
            )
            try:
                session = cluster.connect()
                if with_keyspace:  # refused where it is missing; at connecting that would look like an outage
                    session.set_keyspace(keyspace)
            except BaseException:
                cluster.shutdown()
                raise
        session.default_fetch_size = _PAGE_ROWS
        return cls(cluster, session, settings.cassandra, keyspace)

    def prepare(self, cql: str) -> PreparedStatement:
        """Blocks; every statement of this backend is idempotent."""
        with translated(self.where, self.keyspace):
            statement = self.session.prepare(cql)
        statement.is_idempotent = True
        return statement

    async def define(self, cql: str) -> None:
        """Change the schema, and wait until all nodes agree on it. Raises Unavailable."""
        with translated(self.where, self.keyspace):
            result = await asyncio.to_thread(self.session.execute, cql)
        if not result.response_future.is_schema_agreed:
            raise Unavailable(f"The nodes of Cassandra at {self.where} do not agree on the schema yet; try again.")

    async def write(self, statement: Statement, timeout_s: float) -> None:
        """Acknowledged when it returns, by as many replicas as the level of writes says. Raises Unavailable."""
        with translated(self.where, self.keyspace):
            answers = _Answers(partial(self.session.execute_async, statement, timeout=timeout_s))
            await answers.page()

    async def pages(self, statement: Statement, profile: str, timeout_s: float) -> AsyncIterator[list[Any]]:
        """The rows of a query, some thousand at a time; each page must come within the limit. Raises Unavailable."""
        ask = partial(self.session.execute_async, statement, timeout=None, execution_profile=profile)
        with translated(self.where, self.keyspace):
            answers = _Answers(ask)
            yield await self._in_time(answers, timeout_s)
            while answers.more():
                answers.fetch()
                yield await self._in_time(answers, timeout_s)

    async def rows(self, statement: Statement, profile: str, timeout_s: float) -> list[Any]:
        """All rows of a query, which must come within the limit together. Raises Unavailable."""
        found: list[Any] = []
        try:
            async with asyncio.timeout(timeout_s):
                async for page in self.pages(statement, profile, timeout_s):
                    found += page
        except TimeoutError as error:
            raise self._late(timeout_s) from error
        return found

    async def _in_time(self, answers: "_Answers", timeout_s: float) -> list[Any]:
        try:
            return await asyncio.wait_for(answers.page(), timeout_s)
        except TimeoutError as error:
            raise self._late(timeout_s) from error

    def _late(self, timeout_s: float) -> Unavailable:
        return Unavailable(f"Cassandra at {self.where} did not answer within {timeout_s:g} s; see whether it is up.")

    def close(self) -> None:
        """Let go of the connections."""
        self.cluster.shutdown()


class _Answers:
    """The pages of one request, handed from the driver's thread to the loop's."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._page: asyncio.Future[list[Any]] = self._loop.create_future()
        self._response = ask()
        self._response.add_callbacks(partial(self._tell, None), self._tell)

    async def page(self) -> list[Any]:
        """The rows of the page that was asked for last, none for a write."""
        return await self._page

    def more(self) -> bool:
        """Whether there is another page."""
        return bool(self._response.has_more_pages)

    def fetch(self) -> None:
        """Ask for the next page."""
        self._page = self._loop.create_future()
        self._response.start_fetching_next_page()

    def _tell(self, error: Exception | None, rows: list[Any] | None = None) -> None:
        with suppress(RuntimeError):  # the loop has ended, so nobody waits
            self._loop.call_soon_threadsafe(self._settle, error, rows)

    def _settle(self, error: Exception | None, rows: list[Any] | None) -> None:
        if self._page.done():  # given up by who waited
            return
        if error is not None:
            self._page.set_exception(error)
        else:
            self._page.set_result(rows or [])


def contact_points(setting: str) -> list[tuple[str, int]]:
    """The hosts and ports in a setting; ConfigError where it has another form."""
    points = []
    for point in filter(None, map(str.strip, setting.split(","))):
        host, colon, port = point.rpartition(":")
        if not colon:
            host, port = point, "9042"
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ConfigError(f"FORYOU_CASSANDRA has {point!r}; write host:port, several with commas between them.")
        points.append((host.strip("[]"), int(port)))
    if not points:
        raise ConfigError("FORYOU_CASSANDRA is empty; write host:port, several with commas between them.")
    return points


def keyspace_name(settings: Settings) -> str:
    """The keyspace; ConfigError for a name that Cassandra would not take as it is."""
    name = settings.cassandra_keyspace
    if not _KEYSPACE.fullmatch(name):
        raise ConfigError(
            f"FORYOU_CASSANDRA_KEYSPACE is {name!r}; use 1 to 48 of a-z, 0-9 and _, with a letter at the front."
        )
    return name


def level(name: str, variable: str) -> int:
    """A consistency level by name; ConfigError for one that does not exist or promises nothing."""
    if name.upper() not in _LEVELS:
        raise ConfigError(f"{variable} is {name!r}, which is no consistency level; use {', '.join(_LEVELS)}.")
    return int(_LEVELS[name.upper()])


def _profiles(settings: Settings) -> dict[Any, ExecutionProfile]:
    read = level(settings.cassandra_read, "FORYOU_CASSANDRA_READ")
    write = level(settings.cassandra_write, "FORYOU_CASSANDRA_WRITE")
    if read == ConsistencyLevel.EACH_QUORUM:
        raise ConfigError("FORYOU_CASSANDRA_READ is EACH_QUORUM, which is for writes alone; use QUORUM.")
    # Sums are made of what every acknowledged write has reached.
    careful = ConsistencyLevel.QUORUM if write == ConsistencyLevel.EACH_QUORUM else write
    profile = partial(ExecutionProfile, retry_policy=IdempotentRetry(), row_factory=tuple_factory, request_timeout=None)
    ask_another = ConstantSpeculativeExecutionPolicy(settings.request_deadline_ms / 6_000, max_attempts=1)
    return {
        READ: profile(_nearest(), consistency_level=read, speculative_execution_policy=ask_another),
        WRITE: profile(_nearest(), consistency_level=write),
        CAREFUL: profile(_nearest(), consistency_level=careful),
    }


def _nearest() -> TokenAwarePolicy:
    """A replica of the row, in the data centre of the contact points."""
    return TokenAwarePolicy(DCAwareRoundRobinPolicy())
