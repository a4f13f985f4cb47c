"""Followers on SQLite keep their contract."""

from pathlib import Path

from backends.sqlite.database import Database
from backends.sqlite.followers import SqliteFollowers
from backends.sqlite.tables import SqliteTables
from tests.contracts.followers import Circle, FollowersContract


class TestSqliteFollowers(FollowersContract):
    async def open_circle(self, folder: Path) -> Circle:
        database = Database(folder / "tables.db", durable=False)
        return Circle(SqliteTables(database), SqliteFollowers(database))
