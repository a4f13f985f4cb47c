"""Comments on PostgreSQL; reply_count, like_count and a video's comment_count change with the rows that they count."""

from collections.abc import Sequence
from typing import Any, Final

from backends.postgres.database import PostgresDatabase
from core.errors import InputError, NotFound
from core.social import CommentLike, CommentRecord, check_comment

_ADD = """
WITH added AS (
    INSERT INTO comments (comment_id, video_id, user_id, content, parent_comment_id, created_at, updated_at)
    SELECT $1::text, $2::text, $3::text, $4::text, nullif($5::text, ''), to_timestamp($6::bigint / 1000.0), now()
    WHERE $5::text = '' OR EXISTS (
        SELECT FROM comments WHERE comment_id = $5::text AND video_id = $2::text AND deleted_at IS NULL)
    ON CONFLICT (comment_id) DO NOTHING
    RETURNING video_id, parent_comment_id
), replied AS (
    UPDATE comments AS c SET reply_count = c.reply_count + 1
    FROM added WHERE c.comment_id = added.parent_comment_id
), counted AS (
    INSERT INTO videos AS v (video_id, comment_count) SELECT video_id, 1 FROM added
    ON CONFLICT (video_id) DO UPDATE SET comment_count = v.comment_count + 1
)
SELECT 1 FROM added
"""
_DELETE = """
WITH gone AS (
    UPDATE comments SET deleted_at = to_timestamp($2::bigint / 1000.0), updated_at = now()
    WHERE comment_id = $1 AND deleted_at IS NULL
    RETURNING video_id, parent_comment_id
), replied AS (
    UPDATE comments AS c SET reply_count = c.reply_count - 1
    FROM gone WHERE c.comment_id = gone.parent_comment_id
), counted AS (
    UPDATE videos AS v SET comment_count = v.comment_count - 1
    FROM gone WHERE v.video_id = gone.video_id
)
SELECT 1 FROM comments WHERE comment_id = $1
"""
_LIKE = """
WITH changed AS (
    INSERT INTO comment_likes AS l (comment_id, user_id, stands, created_at)
    SELECT comment_id, $2::text, $3::boolean, to_timestamp($4::bigint / 1000.0) FROM comments WHERE comment_id = $1
    ON CONFLICT (comment_id, user_id) DO UPDATE SET
        stood = l.stands, stands = excluded.stands, created_at = excluded.created_at
    WHERE excluded.created_at > l.created_at
    RETURNING comment_id, stands::int - stood::int AS change
), counted AS (
    UPDATE comments AS c SET like_count = c.like_count + change
    FROM changed WHERE c.comment_id = changed.comment_id AND change <> 0
)
SELECT 1 FROM comments WHERE comment_id = $1
"""
_MS: Final = "(extract(epoch FROM {}) * 1000)::bigint"
_SELECT = f"""
SELECT comment_id, video_id, user_id, CASE WHEN deleted_at IS NULL THEN content ELSE '' END,
       {_MS.format("created_at")}, coalesce(parent_comment_id, ''), like_count, reply_count,
       coalesce({_MS.format("deleted_at")}, 0)
FROM comments
"""
_FIELDS: Final = (
    "comment_id", "video_id", "user_id", "content", "time_ms", "parent_id", "like_count", "reply_count", "deleted_ms",
)  # fmt: skip
_SHOWN: Final = "(deleted_at IS NULL OR reply_count > 0)"


class PostgresComments:
    """The comments table."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def add(self, comment: CommentRecord) -> None:
        """Idempotent by comment id. NotFound when its parent is not a standing comment of that video."""
        check_comment(comment)
        c = comment
        parameters = (c.comment_id, c.video_id, c.user_id, c.content, c.parent_id, c.time_ms)
        if await self._database.write(_ADD, *parameters):
            return
        known = (await self.get([c.comment_id]))[0]
        if known is None:
            raise NotFound(f"Comment {c.parent_id!r} of video {c.video_id!r} is not there to reply to.")
        if (known.video_id, known.user_id, known.parent_id) != (c.video_id, c.user_id, c.parent_id):
            raise InputError(f"The comment id {c.comment_id!r} is taken; choose another.")

    async def delete(self, comment_id: str, time_ms: int) -> None:
        """Its place stays while it has replies; a second time changes nothing. NotFound when unknown."""
        if not await self._database.write(_DELETE, comment_id, time_ms):
            raise NotFound(f"There is no comment {comment_id!r}.")

    async def like(self, like: CommentLike) -> None:
        """Idempotent, in any order: the last word by time stands. NotFound when the comment is unknown."""
        if not await self._database.write(_LIKE, like.comment_id, like.user_id, like.stands, like.time_ms):
            raise NotFound(f"There is no comment {like.comment_id!r}.")

    async def get(self, comment_ids: Sequence[str]) -> list[CommentRecord | None]:
        """In the order asked for, None for each unknown one."""
        rows = await self._database.read(f"{_SELECT} WHERE comment_id = ANY($1::text[])", list(comment_ids))
        found = {row[0]: _comment(row) for row in rows}
        return [found.get(comment_id) for comment_id in comment_ids]

    async def page(
        self, video_id: str, parent_id: str = "", *, top: bool = False, after: CommentRecord | None = None, limit: int
    ) -> list[CommentRecord]:
        """The video's comments, or the replies of `parent_id`, that follow `after`: newest (`top`: most liked) first.

        Deleted ones are left out unless they have replies.
        """
        parameters: list[Any] = [video_id, limit]
        sql = f"{_SELECT} WHERE video_id = $1 AND {_SHOWN} AND parent_comment_id "
        if parent_id:
            parameters.append(parent_id)
            sql += f"= ${len(parameters)}"
        else:
            sql += "IS NULL"
        if after is not None:
            parameters += [after.time_ms, after.comment_id]
            time, place = f"to_timestamp(${len(parameters) - 1}::bigint / 1000.0)", f"${len(parameters)}::text"
            if top:
                parameters.append(after.like_count)
                sql += f" AND (like_count, created_at, comment_id) < (${len(parameters)}::int, {time}, {place})"
            else:
                sql += f" AND (created_at, comment_id) < ({time}, {place})"
        likes = "like_count DESC, " if top else ""
        rows = await self._database.read(
            f"{sql} ORDER BY {likes}created_at DESC, comment_id DESC LIMIT $2::bigint", *parameters
        )
        return [_comment(row) for row in rows]


def _comment(row: Any) -> CommentRecord:
    return CommentRecord(**dict(zip(_FIELDS, row, strict=True)))
