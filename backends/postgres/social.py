"""Likes and totals on PostgreSQL: a count changes in the statement that changes the row which it counts."""

from collections.abc import Sequence
from typing import Any

from backends.postgres.database import PostgresDatabase
from backends.postgres.tables import Word, columns, say
from core.events import Like, Unlike, VideoPublished, VideoRemoved
from core.ports import Record
from core.social import UserTotals, VideoTotals

# A video's likes count for its author while the author is known and the video is not removed.
_LIKE = """
WITH changed AS (
    INSERT INTO likes AS l (user_id, video_id, stands, created_at, log_offset)
    SELECT viewer, video, stands, to_timestamp(time_ms / 1000.0), log_offset
    FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[])
         AS given (viewer, video, stands, time_ms, log_offset)
    ORDER BY viewer, video
    ON CONFLICT (user_id, video_id) DO UPDATE SET
        stood = l.stands, stands = excluded.stands, created_at = excluded.created_at, log_offset = excluded.log_offset
    WHERE (excluded.created_at, excluded.log_offset) > (l.created_at, l.log_offset)
    RETURNING video_id, stands::int - stood::int AS change
), liked AS (
    SELECT video_id, sum(change) AS change FROM changed GROUP BY video_id HAVING sum(change) <> 0
), touched AS (
    INSERT INTO videos AS v (video_id, like_count)
    SELECT video_id, change FROM liked ORDER BY video_id
    ON CONFLICT (video_id) DO UPDATE SET like_count = v.like_count + excluded.like_count
    RETURNING video_id, CASE WHEN NOT removed THEN author_id END AS author_id
)
INSERT INTO users AS u (user_id, total_likes)
SELECT author_id, sum(change) FROM touched JOIN liked USING (video_id)
WHERE author_id IS NOT NULL GROUP BY author_id ORDER BY author_id
ON CONFLICT (user_id) DO UPDATE SET total_likes = u.total_likes + excluded.total_likes
"""
_LIKED = "SELECT video_id FROM likes WHERE user_id = $1 AND video_id = ANY($2::text[]) AND stands"
_PUBLISH = """
WITH touched AS (
    INSERT INTO videos AS v (video_id, author_id, removed)
    SELECT video, nullif(author, ''), removed
    FROM unnest($1::text[], $2::text[], $3::boolean[]) AS given (video, author, removed) ORDER BY video
    ON CONFLICT (video_id) DO UPDATE SET
        counted = v.author_id IS NOT NULL AND NOT v.removed,
        author_id = coalesce(v.author_id, excluded.author_id),
        removed = v.removed OR excluded.removed
    WHERE (v.author_id IS NULL AND excluded.author_id IS NOT NULL) OR (excluded.removed AND NOT v.removed)
    RETURNING author_id, like_count, (author_id IS NOT NULL AND NOT removed)::int - counted::int AS change
)
INSERT INTO users AS u (user_id, video_count, total_likes)
SELECT author_id, sum(change), sum(change * like_count) FROM touched
WHERE change <> 0 GROUP BY author_id ORDER BY author_id
ON CONFLICT (user_id) DO UPDATE SET
    video_count = u.video_count + excluded.video_count, total_likes = u.total_likes + excluded.total_likes
"""
_USERS = """
SELECT user_id, follower_count, following_count, video_count, total_likes FROM users WHERE user_id = ANY($1::text[])
"""
_VIDEOS = "SELECT video_id, like_count, comment_count FROM videos WHERE video_id = ANY($1::text[])"


class PostgresLikes:
    """The likes table."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply like and unlike events; idempotent, in any order: the last word by (time, offset) stands."""
        words: dict[Any, Word] = {}
        for record in records:
            event = record.event
            if isinstance(event, Like | Unlike):
                word = (isinstance(event, Like), event.time_ms, record.offset)
                say(words, (event.viewer_id, event.video_id), word)
        if words:
            await self._database.write(_LIKE, *columns(((*key, *word) for key, word in words.items()), 5))

    async def liked(self, user_id: str, video_ids: Sequence[str]) -> list[bool]:
        """Whether the user likes each, in the order asked for."""
        found = {row[0] for row in await self._database.read(_LIKED, user_id, list(video_ids))}
        return [video_id in found for video_id in video_ids]


class PostgresTotals:
    """The counters of users and videos, and whose each video is."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply video_published and video_removed events; the first author of a video stays, so does a removal."""
        facts: dict[str, tuple[str, bool]] = {}
        for record in records:
            event = record.event
            if isinstance(event, VideoPublished | VideoRemoved):
                author, removed = facts.get(event.video_id, ("", False))
                if isinstance(event, VideoPublished):
                    facts[event.video_id] = (author or event.author_id, removed)
                else:
                    facts[event.video_id] = (author, True)
        if facts:
            rows = ((video_id, *fact) for video_id, fact in facts.items())
            await self._database.write(_PUBLISH, *columns(rows, 3))

    async def users(self, user_ids: Sequence[str]) -> list[UserTotals]:
        """In the order asked for, zeros for each unknown one."""
        rows = await self._database.read(_USERS, list(user_ids))
        found = {row[0]: UserTotals(followers=row[1], following=row[2], videos=row[3], likes=row[4]) for row in rows}
        return [found.get(user_id, UserTotals()) for user_id in user_ids]

    async def videos(self, video_ids: Sequence[str]) -> list[VideoTotals]:
        """In the order asked for, zeros for each unknown one."""
        rows = await self._database.read(_VIDEOS, list(video_ids))
        found = {row[0]: VideoTotals(likes=row[1], comments=row[2]) for row in rows}
        return [found.get(video_id, VideoTotals()) for video_id in video_ids]
