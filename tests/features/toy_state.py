"""Feature state over the worldlet's catalogue, to which tests apply events one by one."""

import numpy as np

from core.catalogue import ViewerRecord
from core.events import (
    Block,
    Comment,
    Follow,
    HideAuthor,
    Impression,
    Like,
    NotInterested,
    Report,
    Save,
    Share,
    Unfollow,
    Unlike,
    Unsave,
    Watch,
)
from core.ports import Record
from core.video_table import Vocabulary
from features.batch import BatchDriver
from features.columns import columns_of
from features.kernels import gather
from features.layout import VIEWER_DTYPE
from features.state import FeatureState, empty_blocks, viewer_arrays
from features.writes import apply_event
from tests.features.worldlet import START_MS, catalogue

PROFILES = [
    ViewerRecord(user_id=f"u{n}", region="r0", language=f"l{n % 3}", device="web", traits=(f"mood=m{n % 2}",))
    for n in range(7)
]


class ToyState:
    """One viewer row for each viewer id, events applied in the order given."""

    def __init__(self, table=None, viewers=7):
        self.table = table or catalogue()
        self.state = FeatureState(self.table)
        self.state.ensure()
        self.viewers = {f"u{n}": n for n in range(viewers)}
        self.records = np.zeros(viewers, VIEWER_DTYPE)
        self.records["profile"][:, 0] = 1

    def apply(self, *events):
        """Write the events in this order."""
        columns = columns_of([Record(1, event) for event in events], self.table, self.viewers, Vocabulary())
        operations, viewers, s = columns.in_regions(self.records).operations(), viewer_arrays(self.records), self.state
        for i in range(len(columns)):
            apply_event(operations, i, viewers, s.video_columns(), s.videos.counts, s.authors.counts, s.trends.counts)
        return self

    def read(self, viewer, rows, now_ms):
        """The blocks of a viewer against rows of videos."""
        rows, s = np.asarray(rows, np.int32), self.state
        blocks = empty_blocks(len(rows), 1)
        one = viewer_arrays(self.records[self.viewers[viewer]][None])
        gather(rows, now_ms, one, s.video_columns(), s.videos.counts, s.authors.counts, s.trends.counts, blocks)
        return blocks


def watch(number, viewer="u0", video="v0", at_ms=START_MS, play_ms=10_000, length_ms=20_000):
    """A watch at a time."""
    return Watch(
        event_id=f"w{number}", viewer_id=viewer, video_id=video, time_ms=at_ms, play_ms=play_ms, length_ms=length_ms
    )


_ON_VIDEO = (Impression, Watch, Like, Unlike, Share, Comment, Save, Unsave, NotInterested, Report)
_ON_AUTHOR = (Follow, Unfollow, HideAuthor, Block)


def every_kind(table, count, seed, authors=6, viewers=7):
    """Random events of every kind in time order, some in the same millisecond."""
    rng, time_ms, events = np.random.default_rng(seed), START_MS, []
    for number in range(count):
        time_ms += int(rng.choice([0, 1, 40_000, 3_000_000, 90_000_000], p=[0.1, 0.2, 0.4, 0.27, 0.03]))
        kind = rng.choice(_ON_VIDEO + _ON_AUTHOR, p=[0.25, 0.25, *[0.05] * 8, *[0.025] * 4])
        facts = {"event_id": f"e{number}", "viewer_id": f"u{rng.integers(viewers)}", "time_ms": time_ms}
        row = int(rng.integers(len(table)))
        if kind in _ON_AUTHOR:
            facts["author_id"] = f"a{rng.integers(authors)}"
        if kind not in (Unfollow, Block):
            facts["video_id"] = f"v{row}"
        if kind is Watch:
            facts |= {"length_ms": int(table.length_ms[row]), "play_ms": int(rng.exponential(20_000))}
            facts["play_ms"] = min(facts["play_ms"], 5 * facts["length_ms"])
        events.append(kind(**facts))
    return events


def batch(events, table=None, profiles=PROFILES, start_offset=1):
    """(driver, rows) after the batch driver replayed the events."""
    table, viewers, surfaces = table or catalogue(), {}, Vocabulary()
    records = [Record(offset, event) for offset, event in enumerate(events, start_offset)]
    driver = BatchDriver(FeatureState(table), columns_of(records, table, viewers, surfaces), viewers)
    driver.set_profiles(profiles)
    return driver, driver.run()
