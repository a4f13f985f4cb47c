"""Likes, comments and what is counted about users and videos: records, and the ports that keep them."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from core.catalogue import ViewerRecord
from core.errors import InputError
from core.events import MAX_ID_CHARS
from core.ports import Record

MAX_USERNAME_CHARS: Final = 50
MAX_DISPLAY_NAME_CHARS: Final = 100
MAX_AVATAR_URL_CHARS: Final = 500


class CommentRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A comment, or with a `parent_id` a reply; one that was deleted keeps its place and has no content."""

    comment_id: str
    video_id: str
    user_id: str
    content: str
    time_ms: int
    parent_id: str = ""
    like_count: int = 0
    reply_count: int = 0
    deleted_ms: int = 0


class CommentLike(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A user likes a comment, or (`stands` False) takes that back."""

    user_id: str
    comment_id: str
    time_ms: int
    stands: bool = True


class UserTotals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is counted about a user; `likes` are those that their videos have, without removed videos."""

    followers: int = 0
    following: int = 0
    videos: int = 0
    likes: int = 0


class VideoTotals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is counted about a video: likes that stand, comments and replies that were not deleted."""

    likes: int = 0
    comments: int = 0


class Likes(Protocol):
    """Who likes which video."""

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply like and unlike events; idempotent, in any order: the last word by (time, offset) stands."""
        ...

    async def liked(self, user_id: str, video_ids: Sequence[str]) -> list[bool]:
        """Whether the user likes each, in the order asked for."""
        ...


class Comments(Protocol):
    """Comments of videos and their replies."""

    async def add(self, comment: CommentRecord) -> None:
        """Idempotent by comment id. NotFound when its parent is not a standing comment of that video."""
        ...

    async def delete(self, comment_id: str, time_ms: int) -> None:
        """Its place stays while it has replies; a second time changes nothing. NotFound when unknown."""
        ...

    async def like(self, like: CommentLike) -> None:
        """Idempotent, in any order: the last word by time stands. NotFound when the comment is unknown."""
        ...

    async def get(self, comment_ids: Sequence[str]) -> list[CommentRecord | None]:
        """In the order asked for, None for each unknown one."""
        ...

    async def page(
        self, video_id: str, parent_id: str = "", *, top: bool = False, after: CommentRecord | None = None, limit: int
    ) -> list[CommentRecord]:
        """The video's comments, or the replies of `parent_id`, that follow `after`: newest (`top`: most liked) first.

        Deleted ones are left out unless they have replies.
        """
        ...


class Totals(Protocol):
    """Exact counts, which the changes that they count keep up to date."""

    async def apply(self, records: Sequence[Record]) -> None:
        """Apply video_published and video_removed events; idempotent, in any order."""
        ...

    async def users(self, user_ids: Sequence[str]) -> list[UserTotals]:
        """In the order asked for, zeros for each unknown one."""
        ...

    async def videos(self, video_ids: Sequence[str]) -> list[VideoTotals]:
        """In the order asked for, zeros for each unknown one."""
        ...


class Followers(Protocol):
    """Who follows an author."""

    async def counts(self, author_ids: Sequence[str]) -> list[int]:
        """How many follow each, in the order asked for."""
        ...

    async def followers(self, author_id: str) -> list[str]:
        """All of them, in any order."""
        ...


def check_user(user: ViewerRecord) -> None:
    """InputError when the profile does not fit the tables."""
    _check_id("user_id", user.user_id)
    for name, most in (
        ("username", MAX_USERNAME_CHARS),
        ("display_name", MAX_DISPLAY_NAME_CHARS),
        ("avatar_url", MAX_AVATAR_URL_CHARS),
    ):
        _check_text(f"{name} of user {user.user_id!r}", getattr(user, name), most)


def check_comment(comment: CommentRecord) -> None:
    """InputError when the comment does not fit the tables."""
    for name in ("comment_id", "video_id", "user_id"):
        _check_id(name, getattr(comment, name))
    if not comment.content:
        raise InputError(f"Comment {comment.comment_id!r} has no content; write something.")
    _check_text(f"content of comment {comment.comment_id!r}", comment.content, 1 << 20)


def _check_id(name: str, value: str) -> None:
    if not value:
        raise InputError(f"{name} is empty; give 1 to {MAX_ID_CHARS} characters.")
    _check_text(name, value, MAX_ID_CHARS)


def _check_text(name: str, value: str, most: int) -> None:
    if len(value) > most:
        raise InputError(f"The {name} has {len(value)} characters; the most are {most}.")
    if "\0" in value or (not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)):
        raise InputError(f"The {name} holds a character that is no text (NUL or half of a pair); leave it out.")
