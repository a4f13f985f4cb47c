"""The slates of a cluster as one log: foryou.slate, from archive and log together, partition after partition."""

from typing import Final

import msgspec

from core.errors import CorruptData
from core.slate import Slate, SlateDetail
from features.archive.reader import ArchivedLog
from feeds.shared_slates import SlateMessage

# A place is partition and offset as one number.
_OFFSET_BITS: Final = 44
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1
_decoder = msgspec.msgpack.Decoder(SlateMessage)


class ArchivedSlates:
    """A SlateLog; a slate that was shipped twice comes twice."""

    def __init__(self, log: ArchivedLog) -> None:
        self._log, self._partitions = log, 0

    async def logged(self, after: int, limit: int) -> list[tuple[int, Slate, SlateDetail | None]]:
        """At most `limit` slates after a place, each with its place and its detail where there is one."""
        self._partitions = self._partitions or len(await self._log.bounds())
        partition, offset = after >> _OFFSET_BITS, after & _OFFSET_MASK
        while partition < self._partitions:
            rows = await self._log.rows(partition, offset, limit)
            if len(rows):
                places = [partition << _OFFSET_BITS | at for at in rows.offset.tolist()]
                pairs = zip(places, rows.value.to_pylist(), strict=True)
                return [(place, *_slate(place, raw)) for place, raw in pairs]
            partition, offset = partition + 1, 0
        return []


def _slate(place: int, raw: bytes) -> tuple[Slate, SlateDetail | None]:
    try:
        message = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise CorruptData(
            f"The slate at offset {place & _OFFSET_MASK} of partition {place >> _OFFSET_BITS} cannot be read ({error})."
        ) from error
    slate = message.record
    detail = SlateDetail(slate_id=slate.slate_id, served=message.served, full=message.full) if message.served else None
    return slate, detail
