"""Followers on PostgreSQL, from the tables that Tables keeps; its counter makes a count one row.

They are asked for by workers, so they have the time of a write, not of a feed request.
"""

from collections.abc import Sequence

from backends.postgres.database import PostgresDatabase


class PostgresFollowers:
    """Who follows whom in PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def counts(self, author_ids: Sequence[str]) -> list[int]:
        """How many follow each, in the order asked for."""
        sql = "SELECT user_id, follower_count FROM users WHERE user_id = ANY($1::text[])"
        found = {row[0]: int(row[1]) for row in await self._database.write(sql, list(author_ids))}
        return [found.get(author_id, 0) for author_id in author_ids]

    async def followers(self, author_id: str) -> list[str]:
        """All of them."""
        sql = "SELECT follower_user_id FROM followers WHERE following_user_id = $1 AND stands"
        return [row[0] for row in await self._database.write(sql, author_id)]
