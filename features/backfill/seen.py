"""Events that come again: the first offset of a viewer's event id counts, by the stream's own rule."""

from collections.abc import Sequence
from typing import Final

from core.events import VIEWER_EVENTS
from core.ports import Record
from features.stream.kept_state import KeptConfig
from features.stream.reading import id_hash
from features.stream.soundness import unsound

KEEP_MS: Final = int(KeptConfig().keep_ids_ms)


class Seen:
    """When each event id was first seen, for as long as the stream remembers it; what is long past is dropped."""

    def __init__(self, keep_ms: int = KEEP_MS) -> None:
        self._keep_ms, self._start_ms = keep_ms, 0
        self._young: dict[bytes, int] = {}
        self._old: dict[bytes, int] = {}

    def fresh(self, records: Sequence[Record]) -> list[Record]:
        """Those that were not seen before, in order."""
        kept = []
        for record in records:
            at_ms = record.event.ingested_ms or record.event.time_ms
            if at_ms - self._start_ms > 2 * self._keep_ms:
                self._old, self._young, self._start_ms = self._young, {}, at_ms
            key = id_hash(record.event.viewer_id, record.event.event_id)
            first_ms = self._young.get(key, self._old.get(key))
            if first_ms is None or at_ms - first_ms > self._keep_ms:
                self._young[key] = at_ms
                kept.append(record)
        return kept


def of_viewers(records: Sequence[Record], catalogue_end: int) -> list[Record]:
    """What the stream does not reject: sound events of viewers, stamped with an offset that the catalogue has."""
    return [
        r
        for r in records
        if isinstance(r.event, VIEWER_EVENTS) and r.event.catalogue_offset <= catalogue_end and not unsound(r.event)
    ]
