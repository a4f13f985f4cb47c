"""The one rule of what a viewer may be shown, asked of every video when it leaves, whatever list still holds it."""

from collections.abc import Iterable, Sequence

import numpy as np

from core.catalogue import Relations
from core.video_table import PUBLIC, VideoTable


def visible(table: VideoTable, relations: Relations, region: str, video_ids: Sequence[str]) -> list[int]:
    """The places of the videos that may be shown to someone in the region: public, not blocked there, by an author
    blocked in neither direction and not hidden.

    `table` is the catalogue as it is now; what it does not know is not shown.
    """
    banned = set(table.authors.codes(tuple(_banned(relations))).tolist()) - {0}
    rows = table.rows(video_ids)
    known = np.flatnonzero(rows >= 0)
    shown = known[table.visibility_in(rows[known], region) == PUBLIC]
    return [place for place in shown.tolist() if int(table.author[rows[place]]) not in banned]


def _banned(relations: Relations) -> Iterable[str]:
    return dict.fromkeys((*relations.blocked, *relations.blocked_by, *relations.hidden))
