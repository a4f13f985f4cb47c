"""Opaque cursors: signed, bound to a viewer, and expiring with a clear answer."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from core.errors import CursorError

_MAC_BYTES = 16


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a viewer's session goes on; `expires_ms` is Unix ms."""

    viewer_id: str
    session_id: str
    page: int
    expires_ms: int


class TimePlace(msgspec.Struct, frozen=True, array_like=True):
    """The last video that a viewer was shown of a feed in order of time; `expires_ms` is Unix ms."""

    viewer_id: str
    upload_ms: int
    video_id: str
    expires_ms: int


class BoardPlace(msgspec.Struct, frozen=True, array_like=True):
    """The last place that a viewer was shown of a board as of `now_ms`; "" is anybody, `expires_ms` is Unix ms."""

    viewer_id: str
    board: tuple[str, str, str, str]
    now_ms: int
    place: int
    expires_ms: int


P = TypeVar("P", Cursor, TimePlace, BoardPlace)


class SurfaceSigner(Generic[P]):
    """Writes and reads the cursors of one surface under one secret key; those of another surface are none of its."""

    def __init__(self, key: bytes, surface: str, kind: type[P]) -> None:
        self._key = hmac.new(key, surface.encode(), hashlib.sha256).digest()
        self._decode: Callable[[bytes], P] = msgspec.msgpack.Decoder(kind).decode

    def write(self, cursor: P) -> str:
        """URL-safe text."""
        body = msgspec.msgpack.encode(cursor)
        return base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, text: str, viewer_id: str, now_ms: int) -> P:
        """The cursor, or CursorError when it was altered, has expired or belongs to someone else."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise CursorError("The cursor is not one that this service gave; ask for the feed without it.") from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, self._mac(body)):
            raise CursorError("The cursor was altered or was signed elsewhere; ask for the feed without it.")
        cursor = self._decode(body)
        if cursor.viewer_id != viewer_id:
            raise CursorError("The cursor belongs to another viewer; ask for the feed without it.")
        if cursor.expires_ms < now_ms:
            raise CursorError("The cursor has expired; ask for the feed without it to start a new session.")
        return cursor

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_MAC_BYTES]


class CursorSigner(SurfaceSigner[Cursor]):
    """Of the For-You feed."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key, "for_you", Cursor)


class TimePlaceSigner(SurfaceSigner[TimePlace]):
    """Of a feed in order of time."""

    def __init__(self, key: bytes, surface: str) -> None:
        super().__init__(key, surface, TimePlace)


class BoardPlaceSigner(SurfaceSigner[BoardPlace]):
    """Of a feed that is a board."""

    def __init__(self, key: bytes, surface: str) -> None:
        super().__init__(key, surface, BoardPlace)
