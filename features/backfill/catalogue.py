"""The catalogue and its whole past, from archive and log: what every event is counted under."""

from dataclasses import dataclass

from core.errors import CorruptData, SchemaMismatch
from core.events import decode
from core.video_table import VideoTable
from features.archive.reader import ArchivedLog
from features.stream.messages import CatalogueEntry, decode_entry
from features.stream.past import Past, apply_entry


@dataclass(frozen=True, slots=True)
class WholeCatalogue:
    """The catalogue with all of its past, and its last offset."""

    past: Past
    end: int


async def read_catalogue(log: ArchivedLog) -> WholeCatalogue:
    """Every entry of foryou.catalogue, in its order, as each follower of the stream takes it."""
    past, reached, end = Past(VideoTable()), dict[int, int](), 0
    async for rows in log.stream(0):
        places = zip(rows.offset.tolist(), rows.time_ms.tolist(), rows.value.to_pylist(), strict=True)
        end = int(rows.offset[-1])
        for offset, time_ms, raw in places:
            placed = _entry(raw)
            if placed is None:
                continue
            before = reached.get(placed.source_partition, 0)
            if placed.source_offset <= before or placed.previous_offset > before:
                continue  # it came before, or comes again after what it follows
            reached[placed.source_partition] = placed.source_offset
            step = apply_entry(past.table, offset, time_ms, decode(placed.event))
            if step is not None:
                past.record(step)
    return WholeCatalogue(past, end)


def _entry(raw: bytes) -> CatalogueEntry | None:
    """The entry, None for what followers pass over; a later version's is refused, for it would shift codes."""
    try:
        return decode_entry(raw)
    except SchemaMismatch:
        raise
    except CorruptData:
        return None
