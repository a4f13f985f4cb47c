"""Built-in policies without a model: uniform, and popularity in the viewer's region."""

import numpy as np
from numpy.typing import NDArray

from simulation.ids import VIDEO, VIEWER, row_of
from simulation.law import HOUR_MS, REGIONS
from simulation.logging_policy import HALF_LIFE_HOURS
from simulation.public import PublicUser, PublicVideo, WideRow
from simulation.room import Room

AUTHOR_CAP = 2
SHORTLIST = 600


def capped(order: NDArray[np.int64], author: NDArray[np.int32], cap: int, limit: int) -> list[int]:
    """The first `limit` videos of an order with at most `cap` of one author."""
    page: list[int] = []
    shown: dict[int, int] = {}
    for video in order.tolist():
        by = int(author[video])
        if shown.get(by, 0) < cap:
            shown[by] = shown.get(by, 0) + 1
            page.append(video)
            if len(page) == limit:
                break
    return page


class BuiltIn:
    """What built-in policies share: they sit in the judge's room and need no announcements."""

    room: Room

    def __init__(self, author_cap: int = AUTHOR_CAP) -> None:
        self.author_cap = author_cap

    def enter(self, room: Room) -> None:
        """Learn where the judging happens; called once, before the first page."""
        self.room = room

    def page(self, viewer_id: str, now_ms: int, limit: int) -> list[str]:
        """The unseen live videos of highest score under the author cap."""
        seat = self.room.seats[row_of(viewer_id, VIEWER)]
        live = self.room.live(now_ms)
        score = np.where(seat.seen[:live], -np.inf, self.score(seat.viewer, now_ms, live))
        size = min(max(SHORTLIST, limit * 4), live)
        best = np.argpartition(-score, size - 1)[:size]
        best = best[np.isfinite(score[best])]
        order = best[np.argsort(-score[best], kind="stable")]
        return [f"{VIDEO}{video}" for video in capped(order, self.room.videos.author, self.author_cap, limit)]

    def score(self, viewer: int, now_ms: int, live: int) -> NDArray[np.float64]:
        """How much each live video deserves the top: [live]."""
        raise NotImplementedError

    def feedback(self, viewer_id: str, rows: list[WideRow]) -> None:
        """Nothing to learn."""

    def end_of_day(self, day: int) -> None:
        """Nothing to train."""

    def arrivals(self, users: list[PublicUser], videos: list[PublicVideo]) -> None:
        """Nothing to note: the room knows them."""


class Uniform(BuiltIn):
    """Any unseen video with equal chance."""

    def __init__(self, rng: np.random.Generator, author_cap: int = AUTHOR_CAP) -> None:
        super().__init__(author_cap)
        self._rng = rng

    def score(self, viewer: int, now_ms: int, live: int) -> NDArray[np.float64]:
        """Chance."""
        return self._rng.random(live)


class Popularity(BuiltIn):
    """Most views of at least half in the viewer's region, halving every 12 hours, counted on through the judging."""

    def __init__(self, author_cap: int = AUTHOR_CAP) -> None:
        super().__init__(author_cap)
        self._views = np.zeros((REGIONS, 0))
        self._updated_ms = 0

    def enter(self, room: Room) -> None:
        """Start from the counts at the end of the history."""
        super().enter(room)
        self._views = room.world.region_views.copy()
        self._updated_ms = room.world.day_start_ms(room.world.day)

    def score(self, viewer: int, now_ms: int, live: int) -> NDArray[np.float64]:
        """Decayed views of at least half in the region."""
        self._bring_up_to(now_ms)
        return self._views[self.room.viewers.region[viewer], :live]

    def feedback(self, viewer_id: str, rows: list[WideRow]) -> None:
        """Count what was at least half watched."""
        region = self.room.viewers.region[row_of(viewer_id, VIEWER)]
        for row in rows:
            if 2 * row.play_ms >= row.length_ms:
                self._views[region, row_of(row.video_id, VIDEO)] += 1.0

    def _bring_up_to(self, now_ms: int) -> None:
        """Decay the counts and make room for new videos."""
        hours = (now_ms - self._updated_ms) // HOUR_MS
        if hours > 0:
            self._views *= 0.5 ** (hours / HALF_LIFE_HOURS)
            self._updated_ms += hours * HOUR_MS
        fresh = len(self.room.world.videos) - self._views.shape[1]
        if fresh > 0:
            self._views = np.pad(self._views, ((0, 0), (0, fresh)))
