"""Video records as answers show them, kept for an hour or until the catalogue changes them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from core.cache_keys import cache_key
from core.catalogue import VideoRecord
from core.ports import Bytes, Record, VideoStore
from core.video_table import VideoTable

_KEPT_MS: Final = 3_600_000


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A record, and the video's number of changes when it was read."""

    changes: int
    record: VideoRecord


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


@dataclass(frozen=True, slots=True)
class CachedVideos:
    """A VideoStore before another one; `cache` is this process's, as is the number of changes that its `table` counts.

    Who asks for a record that is being read waits for that reading. `looked_up` hears of each record whether it was
    there.
    """

    store: VideoStore
    cache: Bytes
    table: VideoTable
    looked_up: Callable[[bool], None] = lambda found: None
    _reading: dict[str, "asyncio.Task[list[VideoRecord | None]]"] = field(default_factory=dict)

    async def apply(self, records: Sequence[Record]) -> None:
        """As the store."""
        await self.store.apply(records)

    async def load(self) -> VideoTable:
        """As the store."""
        return await self.store.load()

    async def videos(self, video_ids: Sequence[str]) -> list[VideoRecord | None]:
        """In the order asked for, None for each unknown one."""
        raws = await self.cache.get([_key(video_id) for video_id in video_ids])
        found = {video_id: self._record(video_id, raw) for video_id, raw in zip(video_ids, raws, strict=True)}
        missing = [video_id for video_id, record in found.items() if record is None]
        for video_id in found:
            self.looked_up(found[video_id] is not None)
        if missing:
            found |= await self._read(missing)
        return [found[video_id] for video_id in video_ids]

    def _record(self, video_id: str, raw: bytes | None) -> VideoRecord | None:
        kept = _decode(raw) if raw is not None else None
        return kept.record if kept is not None and kept.changes == self._changes(video_id) else None

    def _changes(self, video_id: str) -> int:
        return self.table.changes(self.table.row(video_id))

    async def _read(self, video_ids: list[str]) -> dict[str, VideoRecord | None]:
        ours = [video_id for video_id in video_ids if video_id not in self._reading]
        theirs = {video_id: self._reading[video_id] for video_id in video_ids if video_id in self._reading}
        found: dict[str, VideoRecord | None] = {}
        if ours:
            task = asyncio.ensure_future(self._fetch(ours))
            self._reading.update(dict.fromkeys(ours, task))
            try:
                found = dict(zip(ours, await asyncio.shield(task), strict=True))
            finally:
                for video_id in ours:
                    self._reading.pop(video_id, None)
        for video_id, task in theirs.items():
            read = await asyncio.shield(task)
            found[video_id] = next((record for record in read if record and record.video.video_id == video_id), None)
        return found

    async def _fetch(self, video_ids: list[str]) -> list[VideoRecord | None]:
        changes = {video_id: self._changes(video_id) for video_id in video_ids}
        records = await self.store.videos(video_ids)
        kept = {
            _key(video_id): _encode(_Kept(changes[video_id], record))
            for video_id, record in zip(video_ids, records, strict=True)
            if record is not None
        }
        await self.cache.set(kept, _KEPT_MS)
        return records


def _key(video_id: str) -> str:
    return cache_key(f"video:{video_id}", "record")
