"""Slates with feature rows that can be foreseen, events in a log, and blobs in a folder."""

import asyncio
from zlib import crc32

import numpy as np

from backends.blob_folder import FolderBlobStore
from backends.sqlite.database import Database
from backends.sqlite.event_log import SqliteEventLog
from backends.sqlite.slate_store import SqliteSlateStore
from core.arrays import pack
from core.events import Impression, Like, Watch
from core.slate import Slate, SlateDetail
from features.definitions import NAMES
from features.layout import DAY_MS
from features.logged import READ, READ_DTYPE, VIEWER_READ, VIEWER_READ_DTYPE
from training.feedback.days import join_days
from training.feedback.files import read_rows

# Noon of a day, UTC
NOON_MS = 1_704_067_200_000 + DAY_MS // 2
DAY = "2024-01-01"


def run(made):
    """The result of a coroutine."""
    return asyncio.run(made)


class Feedback:
    """One log of events, one of slates."""

    def __init__(self, folder):
        self.folder, self.numbers = folder, iter(range(10_000))
        self.log = SqliteEventLog(Database(folder / "log.db", durable=False))
        self.slates = SqliteSlateStore(Database(folder / "slates.db", durable=False))
        self.blobs = FolderBlobStore(folder)

    def serve(self, slate_id="s1", videos=("v1",), viewer="ann", at_ms=NOON_MS, propensities=(), detail=True):
        """A slate; the features of its rows are random."""
        slate = Slate(
            slate_id=slate_id, viewer_id=viewer, session_id="x", surface="for_you", time_ms=at_ms, page=0, seed=0,
            video_ids=tuple(videos), sources=("fresh",) * len(videos), propensities=propensities,
        )  # fmt: skip
        run(self.slates.append(slate))
        if detail:
            run(self.slates.detail(SlateDetail(slate_id=slate_id, served=pack(self._served(slate)))))
        return slate

    def _served(self, slate):
        rng, n = np.random.default_rng(crc32(slate.slate_id.encode())), len(slate.video_ids)
        viewer = np.zeros(1, VIEWER_READ_DTYPE)
        viewer["now_ms"] = slate.time_ms
        features = rng.normal(size=(n, len(NAMES) + 3)).astype(np.float32)
        return {"features": features, "rows": np.arange(n), READ: np.zeros(n, READ_DTYPE), VIEWER_READ: viewer}

    def happen(self, *events):
        """Events, ingested when they happened unless they say otherwise."""
        run(self.log.append(events))

    def event(self, kind, video="v1", slate="s1", viewer="ann", at_ms=NOON_MS + 1_000, arrived_ms=None, **fields):
        """One event with an id of its own."""
        return kind(
            event_id=f"e{next(self.numbers)}", viewer_id=viewer, video_id=video, slate_id=slate, time_ms=at_ms,
            ingested_ms=arrived_ms or at_ms, **fields,
        )  # fmt: skip

    def shown(self, **where):
        """An impression."""
        self.happen(self.event(Impression, **where))

    def watched(self, play_ms=10_000, length_ms=20_000, **where):
        """A watch report, some seconds after the impression unless it says otherwise."""
        where.setdefault("at_ms", NOON_MS + 9_000)
        self.happen(self.event(Watch, play_ms=play_ms, length_ms=length_ms, **where))

    def liked(self, **where):
        """A like."""
        self.happen(self.event(Like, **where))

    def join(self, now_ms=NOON_MS + 4 * DAY_MS, **options):
        """The join as of a moment; its report."""
        return run(join_days(self.slates, self.log, self.blobs, now_ms, **options))

    def rows(self, *days):
        """(report of the first day, its rows as dictionaries)."""
        report = self.join()
        return report.joined[0], run(read_rows(self.blobs, days or (DAY,))).to_pylist()
