"""Tables on SQLite: users, and how they stand to each other."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from backends.sqlite.database import Database
from core.catalogue import Relations, ViewerRecord
from core.errors import InputError
from core.events import Block, Follow, HideAuthor, Unblock, Unfollow, UnhideAuthor
from core.ports import Record
from core.social import check_user

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS usernames (username TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS relations (
  viewer TEXT NOT NULL, kind TEXT NOT NULL, author TEXT NOT NULL, stands INTEGER NOT NULL,
  time_ms INTEGER NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (viewer, kind, author)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS blocked_by ON relations (author) WHERE kind = 'block';
CREATE INDEX IF NOT EXISTS followed_by ON relations (author) WHERE kind = 'follow' AND stands
"""
# The last word counts: by event time, then by place on the log.
_RELATE = """
INSERT INTO relations VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stands = excluded.stands, time_ms = excluded.time_ms, offset = excluded.offset
WHERE (excluded.time_ms, excluded.offset) > (time_ms, offset)
"""
_FOLLOW: Final = "follow"
_HIDE: Final = "hide"
_BLOCK: Final = "block"
_KINDS: Final = {
    Follow: (_FOLLOW, 1),
    Unfollow: (_FOLLOW, 0),
    HideAuthor: (_HIDE, 1),
    UnhideAuthor: (_HIDE, 0),
    Block: (_BLOCK, 1),
    Unblock: (_BLOCK, 0),
}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ViewerRecord).decode


class SqliteTables:
    """Users and relations in a SQLite file."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(SCHEMA)

    async def put_users(self, users: Sequence[ViewerRecord]) -> None:
        """Insert or replace. InputError for a username that another user has."""
        for user in users:
            check_user(user)
        last = {user.user_id: user for user in users}
        with self._database.transaction():
            self._database.execute_many(
                "INSERT OR REPLACE INTO users VALUES (?, ?)", ((key, _encode(user)) for key, user in last.items())
            )
            self._database.execute_many("DELETE FROM usernames WHERE id = ?", ((key,) for key in last))
            self._name([user for user in last.values() if user.username])

    def _name(self, users: Sequence[ViewerRecord]) -> None:
        try:
            self._database.execute_many(
                "INSERT INTO usernames VALUES (?, ?)", ((user.username, user.user_id) for user in users)
            )
        except sqlite3.IntegrityError as error:
            raise InputError("A username that must be unique is taken by another user; choose another.") from error

    async def users(self, user_ids: Sequence[str]) -> list[ViewerRecord | None]:
        """In the order asked for, None for each unknown one."""
        rows = self._database.select_in("SELECT id, record FROM users WHERE id IN", user_ids)
        found = {user_id: _decode(raw) for user_id, raw in rows}
        return [found.get(user_id) for user_id in user_ids]

    async def all_users(self) -> list[ViewerRecord]:
        """Every user, by id."""
        return [_decode(raw) for (raw,) in self._database.rows("SELECT record FROM users ORDER BY id")]

    async def relate(self, records: Sequence[Record]) -> None:
        """Apply follow, unfollow, (un)hide_author, block and unblock events, in any order and any number of times."""
        rows = []
        for record in records:
            event = record.event
            if isinstance(event, Follow | Unfollow | HideAuthor | UnhideAuthor | Block | Unblock):
                kind, stands = _KINDS[type(event)]
                place = (event.viewer_id, kind, event.author_id)
                rows.append((*place, stands, event.time_ms, record.offset))
        if rows:
            self._database.execute_many(_RELATE, sorted(rows))

    async def relations(self, viewer_id: str) -> Relations:
        """Author ids, each group in order of time."""
        standing = self._database.rows(
            "SELECT kind, author FROM relations WHERE viewer = ? AND stands ORDER BY time_ms, author",
            (viewer_id,),
        )
        blocked_by = self._database.rows(
            "SELECT viewer FROM relations WHERE author = ? AND kind = 'block' AND stands ORDER BY time_ms, viewer",
            (viewer_id,),
        )
        return Relations(
            follows=_of(_FOLLOW, standing),
            blocked=_of(_BLOCK, standing),
            blocked_by=tuple(viewer for (viewer,) in blocked_by),
            hidden=_of(_HIDE, standing),
        )


def _of(kind: str, rows: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(author for found, author in rows if found == kind)
