"""Sessions: a viewer's pages in a row, derived from the slates that were recorded.

Nothing else is stored, so a restart or a second process sees the same session.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from core.slate import Slate


@dataclass(frozen=True, slots=True)
class Session:
    """The session as of now: its slates by page, and every video that must not come again yet."""

    session_id: str
    pages: dict[int, Slate] = field(default_factory=dict)
    served: tuple[str, ...] = ()

    @property
    def next_page(self) -> int:
        """The first page that was not served."""
        return max(self.pages, default=-1) + 1

    def numbered(self, page: int | None) -> int:
        """The page that a caller means: the next one where they say none, or one that lies beyond it."""
        return self.next_page if page is None else min(page, self.next_page)

    def seed(self, page: int) -> int:
        """The seed of a page, the same whenever it is asked for."""
        digest = hashlib.blake2b(f"{self.session_id}/{page}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big")


def current(
    latest: Sequence[Slate], now_ms: int, idle_ms: int, never_again_ms: int, new_id: str, continued: str = ""
) -> Session:
    """The session that goes on, from the viewer's slates (newest first): the one that a cursor has `continued`, else
    the last; a new one after `idle_ms` without a page. Of two slates of a page the first stands: it was read first."""
    alive = bool(latest) and now_ms - latest[0].time_ms <= idle_ms
    session_id = continued or (latest[0].session_id if alive else new_id)
    pages: dict[int, Slate] = {}
    served: list[str] = []
    for slate in latest:
        if slate.session_id == session_id:
            pages[slate.page] = slate
        if slate.session_id == session_id or now_ms - slate.time_ms <= never_again_ms:
            served.extend(slate.video_ids)
    return Session(session_id, pages, tuple(served))
