"""Tables on PostgreSQL: users, and how they stand to each other.

Rows that statements of several processes may change are locked in one order everywhere (followers or likes, then
videos, then users; each by its key), so that no two wait for each other.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from backends.postgres.database import PostgresDatabase
from core.catalogue import Relations, ViewerRecord
from core.errors import InputError
from core.events import Block, Follow, HideAuthor, Unblock, Unfollow, UnhideAuthor
from core.ports import Record
from core.social import check_user

_CHUNK: Final = 1_000
_COLUMNS: Final = ("user_id", "username", "display_name", "avatar_url", "verified")
_KINDS: Final = {
    HideAuthor: ("hide", True),
    UnhideAuthor: ("hide", False),
    Block: ("block", True),
    Unblock: ("block", False),
}

_PUT = """
INSERT INTO users AS u (user_id, username, display_name, avatar_url, verified, created_at, profile)
SELECT id, nullif(username, ''), nullif(display_name, ''), nullif(avatar_url, ''), verified,
       CASE WHEN signup_ms > 0 THEN to_timestamp(signup_ms / 1000.0) ELSE now() END, profile::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::bigint[], $7::text[])
     AS given (id, username, display_name, avatar_url, verified, signup_ms, profile)
ORDER BY id
ON CONFLICT (user_id) DO UPDATE SET
    username = excluded.username, display_name = excluded.display_name, avatar_url = excluded.avatar_url,
    verified = excluded.verified, profile = excluded.profile, updated_at = now()
"""
_USERS = """
SELECT user_id, coalesce(username, ''), coalesce(display_name, ''), coalesce(avatar_url, ''), verified, profile::text
FROM users WHERE profile IS NOT NULL AND
"""
_GIVEN = """
SELECT viewer, author, stands, to_timestamp(time_ms / 1000.0) AS at, log_offset
FROM unnest($1::text[], $2::text[], $3::boolean[], $4::bigint[], $5::bigint[])
     AS given (viewer, author, stands, time_ms, log_offset)
"""
_FOLLOW = f"""
WITH changed AS (
    INSERT INTO followers AS f (follower_user_id, following_user_id, stands, created_at, log_offset)
    {_GIVEN} ORDER BY viewer, author
    ON CONFLICT (follower_user_id, following_user_id) DO UPDATE SET
        stood = f.stands, stands = excluded.stands, created_at = excluded.created_at, log_offset = excluded.log_offset
    WHERE (excluded.created_at, excluded.log_offset) > (f.created_at, f.log_offset)
    RETURNING follower_user_id, following_user_id, stands::int - stood::int AS change
), sides AS (
    SELECT following_user_id AS user_id, change AS followers, 0 AS following FROM changed WHERE change <> 0
    UNION ALL
    SELECT follower_user_id, 0, change FROM changed WHERE change <> 0
)
INSERT INTO users AS u (user_id, follower_count, following_count)
SELECT user_id, sum(followers), sum(following) FROM sides GROUP BY user_id ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    follower_count = u.follower_count + excluded.follower_count,
    following_count = u.following_count + excluded.following_count
"""
_RELATE = """
INSERT INTO relations AS r (user_id, kind, author_id, stands, created_at, log_offset)
SELECT viewer, kind, author, stands, to_timestamp(time_ms / 1000.0), log_offset
FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::bigint[], $6::bigint[])
     AS given (viewer, kind, author, stands, time_ms, log_offset)
ORDER BY viewer, kind, author
ON CONFLICT (user_id, kind, author_id) DO UPDATE SET
    stands = excluded.stands, created_at = excluded.created_at, log_offset = excluded.log_offset
WHERE (excluded.created_at, excluded.log_offset) > (r.created_at, r.log_offset)
"""
_RELATIONS = """
SELECT 'follow' AS kind, following_user_id AS author, created_at FROM followers WHERE follower_user_id = $1 AND stands
UNION ALL
SELECT kind, author_id, created_at FROM relations WHERE user_id = $1 AND stands
UNION ALL
SELECT 'blocked_by', user_id, created_at FROM relations WHERE author_id = $1 AND kind = 'block' AND stands
ORDER BY created_at, author
"""


class PostgresTables:
    """Users and relations in PostgreSQL, with follower_count and following_count exact."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def put_users(self, users: Sequence[ViewerRecord]) -> None:
        """Insert or replace, some hundred at a time. InputError for a username that another user has."""
        for user in users:
            check_user(user)
        last = list({user.user_id: user for user in users}.values())
        for start in range(0, len(last), _CHUNK):
            await self._database.write(_PUT, *columns(map(_row, last[start : start + _CHUNK]), 7))

    async def users(self, user_ids: Sequence[str]) -> list[ViewerRecord | None]:
        """In the order asked for, None for each unknown one."""
        rows = await self._database.read(f"{_USERS} user_id = ANY($1::text[])", list(dict.fromkeys(user_ids)))
        found = {row[0]: _user(row) for row in rows}
        return [found.get(user_id) for user_id in user_ids]

    async def all_users(self) -> list[ViewerRecord]:
        """Every user, by id."""
        sql = f"{_USERS} user_id > $1 ORDER BY user_id LIMIT {10 * _CHUNK}"
        users: list[ViewerRecord] = []
        while rows := await self._database.write(sql, users[-1].user_id if users else ""):
            users += map(_user, rows)
        return users

    async def relate(self, records: Sequence[Record]) -> None:
        """Apply follow, unfollow, (un)hide_author, block and unblock events, in any order and any number of times."""
        follows, others = _last_words(records)
        if follows:
            await self._database.write(_FOLLOW, *columns(((*key, *word) for key, word in follows.items()), 5))
        if others:
            await self._database.write(_RELATE, *columns(((*key, *word) for key, word in others.items()), 6))

    async def relations(self, viewer_id: str) -> Relations:
        """Author ids, each group in order of time."""
        rows = await self._database.read(_RELATIONS, viewer_id)
        groups: dict[str, list[str]] = {"follow": [], "block": [], "blocked_by": [], "hide": []}
        for kind, author, _ in rows:
            groups[kind].append(author)
        return Relations(
            follows=tuple(groups["follow"]),
            blocked=tuple(groups["block"]),
            blocked_by=tuple(groups["blocked_by"]),
            hidden=tuple(groups["hide"]),
        )


Word = tuple[bool, int, int]
"""Whether it stands, the event's time in ms, its offset."""


def say(words: dict[Any, Word], key: tuple[str, ...], word: Word) -> None:
    """Remember the word about `key` unless a later one is known; InputError for an id that cannot be stored."""
    if any("\0" in part for part in key):
        raise InputError(f"The event at offset {word[2]} names an id with a NUL character; put it aside.")
    known = words.get(key)
    if known is None or word[1:] > known[1:]:
        words[key] = word


def columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """The rows as one list for each of their `width` columns, as unnest takes them."""
    found = [list(column) for column in zip(*rows, strict=True)]
    return found or [[] for _ in range(width)]


def _last_words(records: Sequence[Record]) -> tuple[dict[Any, Word], dict[Any, Word]]:
    """By (viewer, author) for follows, by (viewer, kind, author) for the rest."""
    follows: dict[Any, Word] = {}
    others: dict[Any, Word] = {}
    for record in records:
        event = record.event
        if isinstance(event, Follow | Unfollow):
            word = (isinstance(event, Follow), event.time_ms, record.offset)
            say(follows, (event.viewer_id, event.author_id), word)
        elif isinstance(event, HideAuthor | UnhideAuthor | Block | Unblock):
            kind, stands = _KINDS[type(event)]
            say(others, (event.viewer_id, kind, event.author_id), (stands, event.time_ms, record.offset))
    return follows, others


def _row(user: ViewerRecord) -> tuple[Any, ...]:
    fields = msgspec.to_builtins(user)
    profile = {name: value for name, value in fields.items() if name not in _COLUMNS}
    texts = (user.user_id, user.username, user.display_name, user.avatar_url)
    return (*texts, user.verified, user.signup_ms, msgspec.json.encode(profile).decode())


def _user(row: Any) -> ViewerRecord:
    profile = msgspec.json.decode(row[5])
    return msgspec.convert({**profile, **dict(zip(_COLUMNS, row[:5], strict=True))}, ViewerRecord)
