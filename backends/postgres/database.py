"""One PostgreSQL: its connections, how long an answer may take, and which statements are tried again."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from backends.postgres.errors import again, place_of, translated, url_of
from core.errors import ConfigError, SchemaMismatch, Unavailable
from core.settings import Settings

REVISION: Final = "0001"
"""The newest step of `migrations`, which this build's statements need."""

Rows = Sequence[Any]
T = TypeVar("T")


class PostgresConfig(BaseModel, frozen=True):
    """How many connections, and how long one may wait for them."""

    pool_size: int = Field(8, ge=1, description="connections kept by one process; as many reads and writes at once")
    connect_s: float = Field(1.0, gt=0, description="most time to open a connection, seconds")
    read_s: float = Field(1.0, gt=0, description="most time of a read, waiting for a connection included, seconds")
    write_s: float = Field(10.0, gt=0, description="most time of a write, seconds")
    attempts: int = Field(5, ge=1, description="times that a statement runs when others are in its way")


class PostgresDatabase:
    """Statements on one database, each a transaction of its own that may be repeated without harm.

    Opens nothing until the first statement, which also checks that the tables are those of this build. Belongs to one
    event loop. Every call raises Unavailable within its time, however the server keeps silent.
    """

    def __init__(self, settings: Settings, config: PostgresConfig | None = None) -> None:
        self.config = config or PostgresConfig()
        self.url = url_of(settings.postgres)
        self._checked = False
        self._leaving: set[asyncio.Future[Any]] = set()
        self._engine = self._open()

    async def check(self) -> None:
        """Connect, and see that the tables are there: ConfigError, SchemaMismatch or Unavailable."""
        await self.read("SELECT 1")

    async def read(self, sql: str, *parameters: Any) -> Rows:
        """The rows of a query; $1 and so on are its places."""
        return await self._within(self.config.read_s, self._repeated(sql, parameters))

    async def write(self, sql: str, *parameters: Any) -> Rows:
        """The rows of a statement that may be repeated; durable when it returns."""
        return await self._within(self.config.write_s, self._repeated(sql, parameters))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=self.config.connect_s)
        await self._engine.dispose()

    def _open(self) -> AsyncEngine:
        config = self.config
        server_settings = {
            "application_name": "foryou",
            "jit": "off",  # compiling a statement that runs for a millisecond takes longer than running it
            "statement_timeout": str(round(config.write_s * 1000)),
            "timezone": "UTC",
        }
        return create_async_engine(
            self.url,
            isolation_level="AUTOCOMMIT",
            pool_size=config.pool_size,
            max_overflow=0,
            pool_timeout=config.write_s,
            pool_use_lifo=True,
            connect_args={"timeout": config.connect_s, "server_settings": server_settings},
        )

    async def _repeated(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        """Once more after a lost race or on a new connection, since every statement may be repeated."""
        for attempt in range(1, self.config.attempts + 1):
            try:
                return await self._once(sql, parameters)
            except DBAPIError as error:
                if attempt == self.config.attempts or not again(error):
                    raise
            await asyncio.sleep(0.002 * attempt)
        raise AssertionError("unreachable")

    async def _once(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        async with self._engine.connect() as connection:
            if not self._checked:
                await self._check_revision(connection)
            result = await connection.exec_driver_sql(sql, parameters)
            return result.all() if result.returns_rows else ()

    async def _check_revision(self, connection: Any) -> None:
        found = (await connection.exec_driver_sql("SELECT version_num FROM alembic_version")).scalar()
        place = place_of(self.url)
        if found is None or found < REVISION:
            raise ConfigError(
                f"The tables of {place} are of revision {found or 'none'} and this build needs {REVISION};"
                " run `foryou stack init`."
            )
        if found > REVISION:
            raise SchemaMismatch(newer(place, found))
        self._checked = True

    async def _within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Its result, or Unavailable in time: the clean-up of a connection that keeps silent goes on by itself."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            self._abandon(task)
            raise
        if not done:
            self._abandon(task)
            raise Unavailable(
                f"PostgreSQL at {place_of(self.url)} has not answered within {seconds:g} s; is it overloaded?"
                " We try again."
            )
        with translated(self.url):
            return task.result()

    def _abandon(self, task: "asyncio.Future[Any]") -> None:
        task.cancel()
        self._leaving.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # it was told, or nobody waits for it


def newer(place: str, found: str) -> str:
    """What to say of a database that a later build has changed."""
    return f"The tables of {place} are of revision {found}, this build knows {REVISION}; use the newer build."
