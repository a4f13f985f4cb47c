"""The logged history: sessions hour by hour, streamed in time order."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from simulation.beta_table import quantile_table
from simulation.follow_graph import Follows
from simulation.law import HOUR_MS, REGIONS, return_probability, topic_count
from simulation.logged_sessions import Memory, Plan, run_sessions
from simulation.logging_policy import Catalogue, Following, decayed, list_by, running_popularity
from simulation.pair_set import EMPTY, add_all, empty_set
from simulation.session import ROW, new_session
from simulation.streams import stream
from simulation.utility import VideoTable, ViewerTable
from simulation.world import World

HOURLY_ACTIVITY = np.array(
    [
        2.0,
        1.2,
        0.8,
        0.5,
        0.5,
        0.8,
        1.8,
        3.2,
        3.8,
        3.6,
        3.4,
        3.8,
        4.8,
        4.6,
        4.0,
        4.2,
        4.8,
        5.6,
        6.6,
        7.8,
        8.6,
        8.2,
        6.4,
        4.0,
    ]
)
FOLLOW_ROOM_SHARE = 0.03  # follows made in the log, at most, for each impression
BLOCK_ROWS = 65_536

# When the world is taken to be watched to its end, in its last hour:
BARREN = 100  # sessions for one view between them are barren
PATIENCE = 20  # barren sessions of each viewer in a row


class LoggedHistory:
    """Makes the world live its history under the logging policy; `hours` may be used once.

    Memory: the sets of seen videos and follows (8 to 16 bytes for each key and free place), the population,
    and some hours of rows; never the log.
    """

    def __init__(self, world: World, impressions: int) -> None:
        if world.day != -1:
            raise ValueError("a history starts from a world just built")
        if impressions < 1:
            raise ValueError("a history has at least one impression")
        self.world, self.impressions, self.written = world, impressions, 0
        seed = world.setup.seed
        self._schedule_rng, self._logging_rng = stream(seed, "sessions"), stream(seed, "logging")
        self._action_rng = stream(seed, "actions")
        self._sessions, self._session = 0, new_session()
        room, edges, users = int(FOLLOW_ROOM_SHARE * impressions) + 1000, world.follows, len(world.viewers)
        self._memory = Memory(
            empty_set(impressions),
            np.zeros(1, np.int64),
            np.empty(impressions, np.int32),
            np.empty(impressions, np.int64),
            np.full(users, -1),
            np.zeros((users, topic_count(world.law)), np.float32),
            np.zeros((REGIONS, 0)),
            np.zeros(users),
            np.zeros(users, np.int64),
            np.zeros(users, np.int64),
            np.zeros(1, np.int64),
            np.empty(room, np.int32),
            np.empty(room, np.int64),
        )
        self._following = Following(
            edges.starts(users),
            edges.author,
            np.zeros(users, np.int32),
            np.full(users, -1),
            np.empty(room, np.int32),
            np.empty(room, np.int64),
            empty_set(len(edges.viewer) + room),
        )
        add_all(self._following.pairs, edges.viewer.astype(np.int64) << 32 | edges.author)

    def hours(self) -> Iterator[NDArray[np.void]]:
        """Rows of each hour's impressions (dtype ROW) in time order; ends with the world's truth complete."""
        late = np.empty(0, ROW)
        for _ in range(self.world.setup.days):
            self.world.advance()
            self._grow()
            yield from self._day(late_rows := [late])
            late = late_rows[0]
            self._close_day()
        yield late
        self._tell_truth()

    def _day(self, late: list[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
        """A day's hours; `late[0]` holds rows that begin after the hour of their session."""
        world = self.world
        viewers, videos = world.viewer_table(), world.video_table()
        coming = self._schedule_rng.random(len(world.viewers)) < return_probability(world.law, world.satisfaction)
        rate = np.where(coming, world.viewers.activity, 0.0)
        by_topic = list_by(world.videos.public_topic, topic_count(world.law))
        by_author = list_by(world.videos.author, len(world.creators))
        for hour in range(24):
            start_ms = world.day_start_ms(world.day) + hour * HOUR_MS
            catalogue = self._open_hour(start_ms, by_topic, by_author)
            blocks = list(self._hour(hour, start_ms, rate, viewers, videos, catalogue))
            rows = np.concatenate([late[0], *blocks])
            rows = rows[np.argsort(rows["time_ms"], kind="stable")]
            cut = int(np.searchsorted(rows["time_ms"], start_ms + HOUR_MS))
            late[0] = rows[cut:]
            yield rows[:cut]

    def _hour(
        self,
        hour: int,
        start_ms: int,
        rate: NDArray[np.float64],
        viewers: ViewerTable,
        videos: VideoTable,
        catalogue: Catalogue,
    ) -> Iterator[NDArray[np.void]]:
        """Blocks of rows of the sessions that start in this hour; the last hour uses the budget up."""
        world = self.world
        days_left = world.setup.days - world.day - 1
        ahead = HOURLY_ACTIVITY[hour:].sum() + days_left * HOURLY_ACTIVITY.sum()
        left = self.impressions - self.written
        last = days_left == 0 and hour == 23
        running = np.cumsum(rate[: int(np.searchsorted(world.viewers.signup_ms, start_ms + HOUR_MS))])
        target = left if last else left * HOURLY_ACTIVITY[hour] / ahead
        trend, barren = world.trend(start_ms), 0
        while target > 0 and running[-1] > 0:
            plan = self._plan(running, start_ms, target, left)
            first, made = 0, 0
            while first < len(plan.viewer) and made < left:
                rows = np.zeros(BLOCK_ROWS, ROW)
                n, first = run_sessions(
                    world.law.kernel,
                    quantile_table(),
                    viewers,
                    videos,
                    trend,
                    catalogue,
                    self._following,
                    self._memory,
                    self._session,
                    plan._replace(budget=left - made),
                    first,
                    rows,
                    self._logging_rng,
                    self._action_rng,
                )
                made += n
                yield rows[:n]
            barren = barren + len(plan.viewer) if made * BARREN < len(plan.viewer) else 0
            if last and barren > PATIENCE * len(running):
                raise InputError(
                    f"The world's viewers have seen nearly every one of its {len(world.videos):,} videos with"
                    f" {left:,} impressions to go; ask for more videos or viewers, or for fewer impressions."
                )
            self.written += made
            left -= made
            target = left if last else 0
            self._sessions += len(plan.viewer)

    def _plan(self, running: NDArray[np.float64], start_ms: int, target: float, budget: int) -> Plan:
        """Sessions of about `target` views; viewers by activity, starts within the hour."""
        rng = self._schedule_rng
        mean_views = max(self.written / self._sessions, 1.0) if self._sessions > 50 else 20.0
        count = int(rng.poisson(target / mean_views)) + int(target == budget)
        viewer = np.searchsorted(running, rng.random(count) * running[-1], side="right")
        start = np.sort(start_ms + (rng.random(count) * HOUR_MS).astype(np.int64))
        return Plan(viewer.astype(np.int64), start, rng.standard_normal(count), self._sessions, budget)

    def _open_hour(
        self,
        start_ms: int,
        by_topic: tuple[NDArray[np.int64], NDArray[np.int32]],
        by_author: tuple[NDArray[np.int64], NDArray[np.int32]],
    ) -> Catalogue:
        """The catalogue as of the hour's start, popularity decayed by an hour."""
        shown, live = self.world.videos, self.world.live_videos(start_ms)
        views = decayed(self._memory.region_views, len(shown))
        self._memory = self._memory._replace(region_views=views)
        return Catalogue(
            live,
            running_popularity(views, live),
            shown.public_topic,
            *by_topic,
            np.bincount(shown.public_topic[:live], minlength=len(by_topic[0]) - 1),
            shown.author,
            *by_author,
            np.bincount(shown.author[:live], minlength=len(by_author[0]) - 1),
        )

    def _grow(self) -> None:
        """Room for the viewers who arrive on this day."""
        new = len(self.world.viewers) - len(self._memory.free_ms)
        memory, following = self._memory, self._following
        self._memory = memory._replace(
            topic_views=np.pad(memory.topic_views, ((0, new), (0, 0))),
            appeal_sum=np.zeros(len(self.world.viewers)),
            appeal_count=np.zeros(len(self.world.viewers), np.int64),
            free_ms=np.pad(memory.free_ms, (0, new)),
            seen_last=np.pad(memory.seen_last, (0, new), constant_values=-1),
        )
        self._following = following._replace(
            start=np.pad(following.start, (0, new), mode="edge"),
            later_count=np.pad(following.later_count, (0, new)),
            later_last=np.pad(following.later_last, (0, new), constant_values=-1),
        )

    def _close_day(self) -> None:
        """Satisfaction of those who came."""
        rows = np.flatnonzero(self._memory.appeal_count)
        self.world.close_day(rows, self._memory.appeal_sum[rows] / self._memory.appeal_count[rows])

    def _tell_truth(self) -> None:
        """Give the world what its viewers saw and whom they follow now."""
        memory, world = self._memory, self.world
        pairs = memory.seen[memory.seen != EMPTY]
        pairs.sort()
        world.seen_video = (pairs & 0xFFFFFFFF).astype(np.int32)
        world.seen_start = np.searchsorted(pairs, np.arange(len(world.viewers) + 1, dtype=np.int64) << 32)
        world.region_views = memory.region_views
        made = int(memory.later_total[0])
        edges: Follows = world.follows
        world.follows = edges.joined(
            memory.later_viewer[:made], self._following.later_author[:made], memory.later_time_ms[:made]
        )
