"""Opaque cursors: signed, bound to a viewer, and expiring with a clear answer."""

import base64
import hashlib
import hmac

import msgspec

from core.errors import CursorError

_MAC_BYTES = 16


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a viewer's session goes on; `expires_ms` is Unix ms."""

    viewer_id: str
    session_id: str
    page: int
    expires_ms: int


class CursorSigner:
    """Writes and reads cursors under one secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def write(self, cursor: Cursor) -> str:
        """URL-safe text."""
        body = msgspec.msgpack.encode(cursor)
        return base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, text: str, viewer_id: str, now_ms: int) -> Cursor:
        """The cursor, or CursorError when it was altered, has expired or belongs to someone else."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise CursorError("The cursor is not one that this service gave; ask for the feed without it.") from error
        mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(mac) != _MAC_BYTES or not hmac.compare_digest(mac, self._mac(body)):
            raise CursorError("The cursor was altered or was signed elsewhere; ask for the feed without it.")
        cursor = msgspec.msgpack.decode(body, type=Cursor)
        if cursor.viewer_id != viewer_id:
            raise CursorError("The cursor belongs to another viewer; ask for the feed without it.")
        if cursor.expires_ms < now_ms:
            raise CursorError("The cursor has expired; ask for the feed without it to start a new session.")
        return cursor

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()[:_MAC_BYTES]
