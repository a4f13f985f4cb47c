"""Deletion of a viewer: a mark that every reader and writer obeys at once, then the objects without the rows."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import zip_longest
from typing import Final
from zlib import crc32

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.arrays import Array
from core.errors import CorruptData
from core.log import Bounds, MessageLog
from core.ports import BlobStore
from features.archive.layout import PERSONAL, folder, piece_of
from features.archive.objects import Rows, keys_of, pack, removed_from, unpack

MARKS: Final = "shredded/"


class Mark(msgspec.Struct, frozen=True):
    """A viewer, as a hash of the id, and by topic and partition the last offset that the deletion takes away."""

    viewer: str
    until: dict[str, list[int]]


class Shredded:
    """The viewers who were deleted, as far as the marks say that were there when it was last refreshed."""

    def __init__(self, marks: Sequence[Mark] = ()) -> None:
        self._until: dict[str, dict[str, list[int]]] = {}
        self._known: set[str] = set()
        for mark in marks:
            self._add(mark)

    def __len__(self) -> int:
        return len(self._until)

    async def refresh(self, blobs: BlobStore) -> bool:
        """Read the marks that came since, and whether any did; CorruptData for one that cannot be read."""
        fresh = set(await blobs.list(MARKS)) - self._known
        for key in fresh:
            try:
                self._add(msgspec.json.decode(await blobs.get(key), type=Mark))
            except msgspec.DecodeError as error:
                raise CorruptData(f"The mark {key} of a deleted viewer is damaged ({error}); restore it.") from error
        self._known |= fresh
        return bool(fresh)

    def _add(self, mark: Mark) -> None:
        stands = self._until.setdefault(mark.viewer, {})
        for topic, offsets in mark.until.items():
            stands[topic] = [max(pair) for pair in zip_longest(stands.get(topic, []), offsets, fillvalue=0)]

    def remaining(self, rows: Rows) -> Rows:
        """The rows that no deletion has taken away."""
        if not self._until or rows.topic not in PERSONAL or not len(rows):
            return rows
        keys = pc.dictionary_encode(rows.key)
        until = np.array([self._last(key, rows) for key in keys.dictionary.to_pylist()], np.int64)
        keep: Array = rows.offset > until[np.asarray(keys.indices)]
        return rows if keep.all() else rows.take(keep)

    def _last(self, key: str, rows: Rows) -> int:
        offsets = self._until.get(_hash(key), {}).get(rows.topic, [])
        return offsets[rows.partition] if rows.partition < len(offsets) else 0


async def shred(viewer_id: str, blobs: BlobStore, log: MessageLog, topics: Sequence[str] = PERSONAL) -> int:
    """Take away all that is archived, or still to be, of a viewer up to now; how many rows objects lost.

    The mark comes first: from then on readers pass over the rows and no writer archives them, also where a message
    is delivered again. Offsets stay as holes, and every object keeps its name.
    """
    until = {topic: _ends(await log.bounds(topic)) for topic in topics}
    mark = Mark(_hash(viewer_id), until)
    raw = msgspec.json.encode(mark)
    await blobs.put(f"{MARKS}{mark.viewer}-{crc32(raw):08x}.json", raw)
    return sum([await _rewrite(topic, viewer_id, Shredded([mark]), blobs) for topic in topics])


def _ends(bounds: Sequence[Bounds]) -> list[int]:
    return [each.last for each in bounds]


async def _rewrite(topic: str, viewer_id: str, shredded: Shredded, blobs: BlobStore) -> int:
    """Write the topic's objects that hold the viewer again, without; the number of rows lost."""
    lost = 0
    for key in await blobs.list(folder(topic)):
        piece, raw = piece_of(key), await blobs.get(key)
        if not pc.is_in(pa.array([viewer_id]), value_set=keys_of(piece, raw))[0].as_py():
            continue
        rows = unpack(piece, raw)
        kept = shredded.remaining(rows)
        if len(kept) < len(rows):
            await blobs.put(key, pack(kept, removed_from(piece, raw) + len(rows) - len(kept)))
            lost += len(rows) - len(kept)
    return lost


def _hash(viewer_id: str) -> str:
    return blake2b(viewer_id.encode(), digest_size=16).hexdigest()
