"""Likes, comments and totals on SQLite, in the file of its Tables; totals are counted when they are asked for."""

from collections.abc import Sequence
from typing import Any, Final

from backends.sqlite.database import Database
from backends.sqlite.tables import SCHEMA
from core.errors import InputError, NotFound
from core.events import Like, Unlike, VideoPublished, VideoRemoved
from core.ports import Record
from core.social import CommentLike, CommentRecord, UserTotals, VideoTotals, check_comment

_SCHEMA = f"""{SCHEMA};
CREATE TABLE IF NOT EXISTS likes (
  user TEXT NOT NULL, video TEXT NOT NULL, stands INTEGER NOT NULL, time_ms INTEGER NOT NULL, offset INTEGER NOT NULL,
  PRIMARY KEY (user, video)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS liked_by ON likes (video) WHERE stands;
CREATE TABLE IF NOT EXISTS comments (
  comment_id TEXT PRIMARY KEY, video_id TEXT NOT NULL, user_id TEXT NOT NULL, content TEXT NOT NULL,
  time_ms INTEGER NOT NULL, parent_id TEXT NOT NULL, deleted_ms INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS comments_of ON comments (video_id, parent_id, time_ms);
CREATE INDEX IF NOT EXISTS replies_to ON comments (parent_id);
CREATE TABLE IF NOT EXISTS comment_likes (
  comment_id TEXT NOT NULL, user_id TEXT NOT NULL, stands INTEGER NOT NULL, time_ms INTEGER NOT NULL,
  PRIMARY KEY (comment_id, user_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS authored (
  video TEXT PRIMARY KEY, author TEXT NOT NULL, removed INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS authored_by ON authored (author) WHERE NOT removed
"""
# The last word counts: by event time, then by place on the log.
_LIKE = """
INSERT INTO likes VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stands = excluded.stands, time_ms = excluded.time_ms, offset = excluded.offset
WHERE (excluded.time_ms, excluded.offset) > (time_ms, offset)
"""
_LIKE_COMMENT = """
INSERT INTO comment_likes VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stands = excluded.stands, time_ms = excluded.time_ms WHERE excluded.time_ms > time_ms
"""
_COUNTED: Final = """
SELECT comment_id, video_id, user_id, CASE deleted_ms WHEN 0 THEN content ELSE '' END, time_ms, parent_id,
  (SELECT count(*) FROM comment_likes l WHERE l.comment_id = c.comment_id AND stands) AS like_count,
  (SELECT count(*) FROM comments r WHERE r.parent_id = c.comment_id AND r.deleted_ms = 0) AS reply_count, deleted_ms
FROM comments c
"""
_FIELDS: Final = (
    "comment_id", "video_id", "user_id", "content", "time_ms", "parent_id", "like_count", "reply_count", "deleted_ms",
)  # fmt: skip
_AUTHORED = """
INSERT INTO authored VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET author = CASE author WHEN '' THEN excluded.author ELSE author END,
  removed = max(removed, excluded.removed)
"""
_USER_TOTALS = """
SELECT (SELECT count(*) FROM relations WHERE author = ?1 AND kind = 'follow' AND stands),
  (SELECT count(*) FROM relations WHERE viewer = ?1 AND kind = 'follow' AND stands),
  (SELECT count(*) FROM authored WHERE author = ?1 AND NOT removed),
  (SELECT count(*) FROM authored a JOIN likes l ON l.video = a.video
   WHERE a.author = ?1 AND NOT a.removed AND l.stands)
"""
_VIDEO_TOTALS = """
SELECT (SELECT count(*) FROM likes WHERE video = ?1 AND stands),
  (SELECT count(*) FROM comments WHERE video_id = ?1 AND deleted_ms = 0)
"""


class SqliteLikes:
    """Likes in a SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply like and unlike events; idempotent, in any order: the last word by (time, offset) stands."""
        rows = []
        for record in records:
            event = record.event
            if isinstance(event, Like | Unlike):
                stands = isinstance(event, Like)
                rows.append((event.viewer_id, event.video_id, stands, event.time_ms, record.offset))
        if rows:
            self._database.execute_many(_LIKE, rows)

    async def liked(self, user_id: str, video_ids: Sequence[str]) -> list[bool]:
        """Whether the user likes each, in the order asked for."""
        sql = "SELECT video FROM likes WHERE user = ? AND stands AND video IN"
        found = {video for (video,) in self._database.select_in(sql, video_ids, (user_id,))}
        return [video_id in found for video_id in video_ids]


class SqliteComments:
    """Comments in a SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def add(self, comment: CommentRecord) -> None:
        """Idempotent by comment id. NotFound when its parent is not a standing comment of that video."""
        check_comment(comment)
        c = comment
        with self._database.transaction():
            known, parent = await self.get([c.comment_id, c.parent_id])
            if known is not None:
                if (known.video_id, known.user_id, known.parent_id) != (c.video_id, c.user_id, c.parent_id):
                    raise InputError(f"The comment id {c.comment_id!r} is taken; choose another.")
                return
            if c.parent_id and (parent is None or parent.deleted_ms or parent.video_id != c.video_id):
                raise NotFound(f"Comment {c.parent_id!r} of video {c.video_id!r} is not there to reply to.")
            self._database.execute(
                "INSERT INTO comments VALUES (?, ?, ?, ?, ?, ?, 0)",
                (c.comment_id, c.video_id, c.user_id, c.content, c.time_ms, c.parent_id),
            )

    async def delete(self, comment_id: str, time_ms: int) -> None:
        """Its place stays while it has replies; a second time changes nothing. NotFound when unknown."""
        with self._database.transaction():
            await self._require(comment_id)
            self._database.execute(
                "UPDATE comments SET deleted_ms = ? WHERE comment_id = ? AND deleted_ms = 0", (time_ms, comment_id)
            )

    async def like(self, like: CommentLike) -> None:
        """Idempotent, in any order: the last word by time stands. NotFound when the comment is unknown."""
        with self._database.transaction():
            await self._require(like.comment_id)
            self._database.execute(_LIKE_COMMENT, (like.comment_id, like.user_id, like.stands, like.time_ms))

    async def get(self, comment_ids: Sequence[str]) -> list[CommentRecord | None]:
        """In the order asked for, None for each unknown one."""
        rows = self._database.select_in(f"{_COUNTED} WHERE comment_id IN", comment_ids)
        found = {row[0]: _comment(row) for row in rows}
        return [found.get(comment_id) for comment_id in comment_ids]

    async def page(
        self, video_id: str, parent_id: str = "", *, top: bool = False, after: CommentRecord | None = None, limit: int
    ) -> list[CommentRecord]:
        """The video's comments, or the replies of `parent_id`, that follow `after`: newest (`top`: most liked) first.

        Deleted ones are left out unless they have replies.
        """
        keys = ("like_count", "time_ms", "comment_id")[0 if top else 1 :]
        sql = (
            f"SELECT * FROM ({_COUNTED} WHERE video_id = ? AND parent_id = ?) WHERE (deleted_ms = 0 OR reply_count > 0)"
        )
        parameters: list[Any] = [video_id, parent_id]
        if after is not None:
            sql += f" AND ({', '.join(keys)}) < ({', '.join('?' * len(keys))})"
            parameters += [getattr(after, key) for key in keys]
        order = ", ".join(f"{key} DESC" for key in keys)
        return [_comment(row) for row in self._database.rows(f"{sql} ORDER BY {order} LIMIT ?", (*parameters, limit))]

    async def _require(self, comment_id: str) -> None:
        if (await self.get([comment_id]))[0] is None:
            raise NotFound(f"There is no comment {comment_id!r}.")


class SqliteTotals:
    """Counts over the tables of one file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_SCHEMA)

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply video_published and video_removed events; the first author of a video stays, so does a removal."""
        rows: list[tuple[str, str, bool]] = []
        for record in records:
            if isinstance(record.event, VideoPublished):
                rows.append((record.event.video_id, record.event.author_id, False))
            elif isinstance(record.event, VideoRemoved):
                rows.append((record.event.video_id, "", True))
        if rows:
            self._database.execute_many(_AUTHORED, rows)

    async def users(self, user_ids: Sequence[str]) -> list[UserTotals]:
        """In the order asked for, zeros for each unknown one."""
        rows = [self._database.rows(_USER_TOTALS, (user_id,))[0] for user_id in user_ids]
        return [UserTotals(followers=a, following=b, videos=c, likes=d) for a, b, c, d in rows]

    async def videos(self, video_ids: Sequence[str]) -> list[VideoTotals]:
        """In the order asked for, zeros for each unknown one."""
        rows = [self._database.rows(_VIDEO_TOTALS, (video_id,))[0] for video_id in video_ids]
        return [VideoTotals(likes=likes, comments=comments) for likes, comments in rows]


def _comment(row: Any) -> CommentRecord:
    return CommentRecord(**dict(zip(_FIELDS, row, strict=True)))
