"""Databases of a test: one for each folder, made with its tables, dropped when the test ends."""

from pathlib import Path

import asyncpg
import pytest

from backends.postgres.database import PostgresConfig, PostgresDatabase
from backends.postgres.migrate import migrate
from core.settings import Settings
from tests.contracts.one_loop import OneLoop
from tests.integration import servers


class Databases:
    """The databases that a test opens, and its connections to them."""

    def __init__(self, server: str, config: PostgresConfig | None = None) -> None:
        self.server, self._config = server, config
        self._names: dict[Path, str] = {}
        self._opened: list[PostgresDatabase] = []

    async def empty(self, follower_partitions: int = 4) -> Settings:
        """Settings of a new database without tables."""
        name = servers.unique("social")
        self._names[Path(name)] = name
        await self.execute(f'CREATE DATABASE "{name}"')
        return Settings(postgres=self.url(name), postgres_follower_partitions=follower_partitions)

    async def made(self) -> Settings:
        """Settings of a new database with its tables."""
        settings = await self.empty()
        await migrate(settings)
        return settings

    async def for_folder(self, folder: Path) -> PostgresDatabase:
        """The database that stands for the folder, new or as it was left."""
        if folder not in self._names:
            settings = await self.made()
            self._names[folder] = settings.postgres.rpartition("/")[2]
        return self.open(Settings(postgres=self.url(self._names[folder])))

    def open(self, settings: Settings) -> PostgresDatabase:
        """A process's connections to a database."""
        self._opened.append(PostgresDatabase(settings, self._config))
        return self._opened[-1]

    def url(self, name: str) -> str:
        """The URL of one database of the server."""
        return f"{self.server.rpartition('/')[0]}/{name}"

    async def execute(self, sql: str) -> None:
        """One statement on the server's own database."""
        connection = await asyncpg.connect(self.server)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def close(self) -> None:
        """Let go of all connections and drop the databases."""
        for database in self._opened:
            await database.close()
        for name in set(self._names.values()):
            await self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class OnPostgres(OneLoop):
    """Inherit it: databases of the shared server, on the test's event loop."""

    @pytest.fixture(autouse=True)
    def databases(self) -> Databases:
        self.made = Databases(servers.require("postgres").postgres)
        return self.made

    async def close(self) -> None:
        await self.made.close()
