"""The one rule of what a viewer may be shown, asked of every video when it leaves, whatever list still holds it."""

from collections.abc import Iterable, Sequence

from core.catalogue import Relations
from core.video_table import PUBLIC, VideoTable


def visible(table: VideoTable, relations: Relations, video_ids: Sequence[str]) -> list[int]:
    """The places of the videos that may be shown: public, by an author blocked in neither direction and not hidden.

    `table` is the catalogue as it is now; what it does not know is not shown.
    """
    banned = set(table.authors.codes(tuple(_banned(relations))).tolist()) - {0}
    rows = table.rows(video_ids).tolist()
    return [
        place
        for place, row in enumerate(rows)
        if row >= 0 and table.visibility[row] == PUBLIC and int(table.author[row]) not in banned
    ]


def _banned(relations: Relations) -> Iterable[str]:
    return dict.fromkeys((*relations.blocked, *relations.blocked_by, *relations.hidden))
