"""What a viewer has just told us, before the stream's workers have counted it: the very next page knows of it.

Every replica tells the cache what it put on the log, with its offset there. A viewer's row says up to which offset it
was counted; what lies beyond is counted into a copy of the row, as a worker will.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array
from core.cache_keys import cache_key
from core.catalogue import Reactions
from core.errors import SchemaMismatch
from core.events import CATALOGUE_EVENTS, Impression, Watch, decode, encode
from core.history import DISLIKED, LIKED, REACTIONS, SAVED, Reaction
from core.ports import Ranked, Record
from core.video_table import Vocabulary
from features.columns import columns_of
from features.state import FeatureState
from features.stream.viewers import apply_viewers, present_traits

_MOST: Final = 500
_TTL_MS: Final = 3_600_000
_OFFSET_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class ToldEvents:
    """The last events of each viewer in the cache that replicas share."""

    ranked: Ranked

    async def tell(self, records: Sequence[Record]) -> None:
        """Keep these. Unavailable when the cache does not answer."""
        members: dict[str, dict[str, float]] = {}
        for record in records:
            if not isinstance(record.event, CATALOGUE_EVENTS):
                raw = record.offset.to_bytes(_OFFSET_BYTES, "big") + encode(record.event)
                key = cache_key(record.event.viewer_id, "told")
                members.setdefault(key, {})[raw.decode("latin-1")] = float(record.offset)
        if members:
            await self.ranked.add(members, _MOST, _TTL_MS)

    async def read(self, viewer_id: str) -> tuple[Record, ...]:
        """In the order of the log, each event once. Unavailable when the cache does not answer."""
        members = (await self.ranked.top([cache_key(viewer_id, "told")], _MOST))[0]
        told: dict[str, Record] = {}
        for member, _ in reversed(members):
            record = _record_in(member)
            if record is not None:
                told.setdefault(record.event.event_id, record)
        return tuple(told.values())


def _record_in(member: str) -> Record | None:
    """None where it is not one of ours, or of a newer build."""
    try:
        raw = member.encode("latin-1")
        return Record(int.from_bytes(raw[:_OFFSET_BYTES], "big"), decode(raw[_OFFSET_BYTES:]))
    except (SchemaMismatch, UnicodeError):
        return None


def counted(row: Array, told: Sequence[Record], state: FeatureState, now_ms: int, catalogue_offset: int = 0) -> Array:
    """The viewer's row [1] VIEWER_DTYPE with what it does not include yet; the same object where that is nothing, or
    could differ from what a worker will make of it.

    A worker counts an event by the catalogue that its replica had, whose offset the event carries; we have the one up
    to `catalogue_offset` alone. And where as much was told as is kept, what came before may be missing.
    """
    news = [record for record in told if record.offset > int(row["version"][0])]
    if not news or len(news) >= _MOST or any(r.event.catalogue_offset not in (0, catalogue_offset) for r in news):
        return row
    columns = columns_of(news, state.table, {news[0].event.viewer_id: 0}, Vocabulary())
    counted_in = row.copy()
    apply_viewers(columns, counted_in, present_traits(state.table, columns), now_ms * 1000)
    return counted_in


def reacted(reactions: Reactions, told: Sequence[Record]) -> Reactions:
    """Likes, saves and dislikes with what was told since."""
    news = [event for event in (record.event for record in told) if isinstance(event, Reaction)]
    if not news:
        return reactions
    standing = {LIKED: set(reactions.liked), SAVED: set(reactions.saved), DISLIKED: set(reactions.disliked)}
    for event in news:
        reaction, stands = REACTIONS[type(event)]
        (standing[reaction].add if stands else standing[reaction].discard)(event.video_id)
    liked, saved, disliked = (frozenset(standing[reaction]) for reaction in (LIKED, SAVED, DISLIKED))
    return Reactions(liked=liked, saved=saved, disliked=disliked)


def watched(told: Sequence[Record]) -> list[str]:
    """The videos that were seen by it."""
    return [record.event.video_id for record in told if isinstance(record.event, Impression | Watch)]


def warm_up(state: FeatureState) -> None:
    """Compile, or load from the cache, what counting runs: the first viewer must not wait for it."""
    row = state.new_viewer(None)
    if len(state.table):
        video_id = state.table.video_ids[0]
        event = Watch(event_id="warm-up", viewer_id="warm-up", video_id=video_id, time_ms=1, play_ms=1, length_ms=1)
        counted(np.array(row), [Record(1, event)], state, 1)
