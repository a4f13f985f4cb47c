"""Followers on PostgreSQL keep their contract."""

from pathlib import Path

from backends.postgres.followers import PostgresFollowers
from backends.postgres.tables import PostgresTables
from tests.contracts.followers import Circle, FollowersContract
from tests.integration.postgres_databases import OnPostgres


class TestPostgresFollowers(OnPostgres, FollowersContract):
    async def open_circle(self, folder: Path) -> Circle:
        database = await self.made.for_folder(folder)
        return Circle(PostgresTables(database), PostgresFollowers(database))
