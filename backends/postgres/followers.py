"""Followers on PostgreSQL, from the tables that Tables keeps; its counter makes the count one row."""

from backends.postgres.database import PostgresDatabase


class PostgresFollowers:
    """Who follows whom in PostgreSQL."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def count(self, author_id: str) -> int:
        """How many follow the author."""
        rows = await self._database.read("SELECT follower_count FROM users WHERE user_id = $1", author_id)
        return int(rows[0][0]) if rows else 0

    async def followers(self, author_id: str) -> list[str]:
        """All of them."""
        sql = "SELECT follower_user_id FROM followers WHERE following_user_id = $1 AND stands"
        return [row[0] for row in await self._database.read(sql, author_id)]
