"""Followers on SQLite, from the relations that Tables keeps."""

from backends.sqlite.database import Database
from backends.sqlite.tables import SCHEMA

_STANDING = "FROM relations WHERE author = ? AND kind = 'follow' AND stands"


class SqliteFollowers:
    """Who follows whom in a SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(SCHEMA)

    async def count(self, author_id: str) -> int:
        """How many follow the author."""
        return int(self._database.rows(f"SELECT count(*) {_STANDING}", (author_id,))[0][0])

    async def followers(self, author_id: str) -> list[str]:
        """All of them."""
        return [viewer for (viewer,) in self._database.rows(f"SELECT viewer {_STANDING}", (author_id,))]
