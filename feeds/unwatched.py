"""What a viewer said of videos of this session whose watch was not reported: their row knows of watched ones alone."""

from collections.abc import Set
from typing import Final

import numpy as np

from core.arrays import Array, Int32
from core.video_table import VideoTable
from feeds.session import Session

_PAGES: Final = 10
_MOST: Final = 10


def said(videos: Set[str], session: Session, record: Array, table: VideoTable) -> Int32:
    """Those of `videos` on the last pages that the viewer's row [1] VIEWER_DTYPE does not have among its watches, as
    rows of the table, in the order of the pages. [at most 10]"""
    pages = [session.pages[number] for number in sorted(session.pages)[-_PAGES:]] if videos else []
    told = [video for slate in pages for video in slate.video_ids if video in videos]
    rows = np.asarray(table.rows(told), np.int32)
    watched = record["history_video"][0, : record["history_len"][0]]
    return rows[(rows >= 0) & ~np.isin(rows, watched)][-_MOST:]
