"""What comes when everything has been seen: what the viewer saw longest ago, liked videos first.

Nothing of this session, and nothing that was served a moment ago, comes even then; and what may not be shown does not.
"""

from typing import Final

import numpy as np

from core.arrays import Int32
from core.catalogue import Reactions
from core.ports import HistoryStore
from core.query import Query
from core.stages import Surface, kind_of
from feeds.given import given

AGAIN: Final = "seen_again"
_MOST: Final = 500


async def seen_longest_ago(history: HistoryStore, viewer_id: str, reactions: Reactions) -> list[str]:
    """Every video that the viewer has seen: the liked ones by their first sight, then the others. Unavailable."""
    seen = await history.seen(viewer_id)
    return sorted(seen, key=lambda video_id: video_id not in reactions.liked)


def again(query: Query, surface: Surface, rows: Int32) -> tuple[Query, Surface]:
    """The surface's own filters, hydrators and scorers on rows that were seen, longest ago first, and the query that
    lets them pass. What is served so is explained by its features and not run again."""
    steps = tuple(step for step in surface.steps if kind_of(step) != "selector")
    known = np.asarray(rows[rows >= 0], np.int32)
    seen_before = query.with_parts(seen=np.zeros(0, np.int32), keep_full=False)
    return seen_before, given(surface, AGAIN, known, steps, _MOST)
