"""The kernels made ready before a worker joins its groups."""

import numpy as np

from core.events import VideoPublished, Watch
from core.ports import Record
from core.video_table import VideoTable, Vocabulary
from features.columns import columns_of
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.stream.counters import apply_counts, fresh_counts
from features.stream.messages import CountsBatch
from features.stream.viewers import Owners, apply_viewers, present_traits, rekey


def warm_kernels() -> None:
    """Count made-up events, so that what is compiled or loaded for it is.

    It takes seconds in a new process, and would stop the loop in which the groups' heartbeats are sent. Numpy holds one
    record alone for contiguous and several for strided: each is a form of its own.
    """
    table = VideoTable()
    published = VideoPublished(
        event_id="p", viewer_id="a", time_ms=1, video_id="v", author_id="a", length_ms=1, upload_ms=1
    )
    table.publish(published)
    for viewers in (1, 2):
        records = [
            Record(number, Watch(event_id="w", viewer_id=f"u{number}", time_ms=1, video_id="v", play_ms=1, length_ms=1))
            for number in range(1, viewers + 1)
        ]
        columns = columns_of(records, table, {}, Vocabulary())
        traits, rows = present_traits(table, columns), np.zeros(viewers, VIEWER_DTYPE)
        apply_viewers(columns, rows, traits, 1)
        [counts] = rekey(columns, rows, traits, Owners(table, 1)).values()
        if viewers == 1:
            counts["author"] = counts["trend"] = -1
        fresh = fresh_counts([(1, CountsBatch.of(0, 1, 1, counts))], {})
        apply_counts(fresh, np.zeros(len(fresh.keys), COUNTS_DTYPE), 1)
