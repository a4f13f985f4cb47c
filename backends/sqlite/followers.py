"""Followers on SQLite, from the relations that Tables keeps."""

from collections.abc import Sequence

from backends.sqlite.database import Database
from backends.sqlite.tables import SCHEMA

_STANDING = "FROM relations WHERE author = ? AND kind = 'follow' AND stands"


class SqliteFollowers:
    """Who follows whom in a SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(SCHEMA)

    async def counts(self, author_ids: Sequence[str]) -> list[int]:
        """How many follow each, in the order asked for."""
        return [int(self._database.rows(f"SELECT count(*) {_STANDING}", (one,))[0][0]) for one in author_ids]

    async def followers(self, author_id: str) -> list[str]:
        """All of them."""
        return [viewer for (viewer,) in self._database.rows(f"SELECT viewer {_STANDING}", (author_id,))]
