"""Rows of the catalogue as an answer shows them: with their authors, counts, and how the viewer stands to them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from core.catalogue import Reactions, ViewerRecord
from core.errors import Unavailable
from core.ports import VideoStore
from features.state import FeatureState
from feeds.hydrate import Readers
from feeds.page import VideoView
from feeds.render import made_up_fields, video_view


@dataclass(frozen=True, slots=True)
class Shown:
    """Videos for an answer, the parts that had to be left out, and the fields that were made up."""

    videos: list[VideoView]
    left_out: tuple[str, ...]
    made_up: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Views:
    """Makes them; names are waited for at most `deadline_ms` where they can be late."""

    readers: Readers
    videos: VideoStore
    state: FeatureState
    deadline_ms: int

    async def of(self, video_ids: Sequence[str], reactions: Reactions) -> Shown:
        """These videos in order, without unknown ones."""
        records = [record for record in await self.videos.videos(video_ids) if record is not None]
        author_ids = list(dict.fromkeys(record.video.author_id for record in records))
        users, left_out = await self._users(author_ids)
        authors = dict(zip(author_ids, users, strict=True))
        totals, table = self.state.videos.counts.totals, self.state.table
        views = [
            video_view(r, authors[r.video.author_id], totals[table.row(r.video.video_id)], reactions) for r in records
        ]
        return Shown(views, left_out, made_up_fields(records, authors) if records else ())

    async def _users(self, user_ids: Sequence[str]) -> tuple[list[ViewerRecord | None], tuple[str, ...]]:
        readers = self.readers
        if readers.users is None:
            return await readers.tables.users(user_ids), ()
        try:
            return await asyncio.wait_for(readers.users.read(user_ids), self.deadline_ms / 1000), ()
        except (Unavailable, TimeoutError):
            return readers.users.last_known(user_ids), ("authors",)
