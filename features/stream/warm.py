"""A process made ready before a worker joins its groups: the kernels, and how often garbage is looked for."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np

from core.events import VideoPublished, Watch, encode
from core.log import Entry
from core.video_table import VideoTable
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.stream.counters import apply_counts, fresh_counts
from features.stream.messages import CountsBatch
from features.stream.packing import squeezed
from features.stream.reading import parsed
from features.stream.viewers import Owners, apply_viewers, present_traits, rekey

_RARELY: Final = (50_000, 20, 20)


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Garbage is looked for after 50,000 new objects, not 700, and not among what is there by now (the catalogue).

    A micro-batch makes some ten thousand that go by themselves: to look among them took a sixth of a worker's time.
    A second worker in the process leaves it to the first.
    """
    before = gc.get_threshold()
    if before == _RARELY:
        yield
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


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
        watches = [
            Watch(event_id="w", viewer_id=f"u{number}", time_ms=1, video_id="v", play_ms=1, length_ms=1)
            for number in range(viewers)
        ]
        read = parsed([Entry("", 0, at, "", encode(watch), 1) for at, watch in enumerate(watches, 1)])
        assert read is not None and len(read.hashes()) == viewers
        columns, _ = read.columns(table)
        traits, rows = present_traits(table, columns), np.zeros(viewers, VIEWER_DTYPE)
        apply_viewers(columns, rows, traits, 1)
        [counts] = rekey(columns, rows, traits, Owners(table, 1)).values()
        if viewers == 1:
            counts["author"] = counts["trend"] = -1
        fresh = fresh_counts([(1, CountsBatch.of(0, 1, 1, counts))], {})
        apply_counts(fresh, np.zeros(len(fresh.keys), COUNTS_DTYPE), np.arange(len(fresh.keys)), 1)
        squeezed(rows, np.arange(viewers))
