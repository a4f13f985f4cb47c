"""The world: who and what is there on a day, and how a day changes it."""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulation.follow_graph import Follows, draw_follows
from simulation.law import DAY_MS, EPOCH_MS, HOUR_MS, REGIONS, TOPICS, Law, law_named, topic_count
from simulation.streams import stream
from simulation.topics import Topics, draw_topics
from simulation.trends import NO_TRENDS, Trends
from simulation.utility import VideoTable, ViewerTable
from simulation.videos import Creators, Videos, draw_creators, draw_videos
from simulation.viewers import Viewers, draw_viewers, drifted, taste_vectors, turned

CATALOGUE_DAYS = 1
SIGNUP_DAYS = 180
TRUTH_FILE, MANIFEST_FILE = "truth.npz", "manifest.json"


@dataclass(frozen=True)
class Setup:
    """What a world is drawn from; equal setups give equal worlds."""

    seed: int
    users: int  # viewers at the start
    videos: int  # videos at the start
    law: str
    days: int  # length of the history
    start_ms: int


@dataclass
class World:
    """Population and environment. `day` is -1 before the first `advance`."""

    setup: Setup
    law: Law
    topics: Topics
    viewers: Viewers
    creators: Creators
    videos: Videos
    follows: Follows
    satisfaction: NDArray[np.float64]  # [viewers]
    trends: Trends = NO_TRENDS
    day: int = -1
    seen_start: NDArray[np.int64] | None = None  # [viewers at the history's end + 1]
    seen_video: NDArray[np.int32] | None = None
    region_views: NDArray[np.float64] = field(default_factory=lambda: np.zeros((REGIONS, 0)))
    """Decayed first views of at least half, at the history's end: [regions, videos], halving every 12 hours."""

    @classmethod
    def build(
        cls,
        seed: int,
        users: int = 10_000,
        videos: int = 50_000,
        law: str = "plain",
        days: int = 14,
        start_ms: int = EPOCH_MS,
    ) -> "World":
        """The world just before its first day; `users` and `videos` count those at the start."""
        if min(users, videos, days) < 1 or videos < 64:
            raise ValueError("a world needs at least 1 viewer, 64 videos and 1 day")
        rules = law_named(law)
        topics = draw_topics(seed, rules)
        rng = stream(seed, "videos")
        creators = draw_creators(rng, rules, videos // rules.videos_per_creator)
        uploads = np.sort(start_ms - 1 - (rng.random(videos) * CATALOGUE_DAYS * DAY_MS).astype(np.int64))
        catalogue = draw_videos(rng, rules, topics, creators, uploads)
        rng = stream(seed, "users")
        signups = np.sort(start_ms - 1 - (rng.random(users) * SIGNUP_DAYS * DAY_MS).astype(np.int64))
        viewers = draw_viewers(rng, rules, topics, signups)
        has_video = np.bincount(catalogue.author, minlength=len(creators)) > 0
        follows = draw_follows(stream(seed, "follows"), rules, viewers, creators, has_video, start_ms)
        world = cls(
            Setup(seed, users, videos, law, days, start_ms),
            rules,
            topics,
            viewers,
            creators,
            catalogue,
            follows,
            np.zeros(users),
        )
        for day in range(-4, 0):
            world.trends = world.trends.with_day(seed, rules, day, world.day_start_ms(day))
        return world

    def day_start_ms(self, day: int) -> int:
        """Midnight before a day; day 0 is the first of the history."""
        return self.setup.start_ms + day * DAY_MS

    @property
    def late_topic(self) -> int:
        """The topic that the law adds after the history, once its day has come; else -1."""
        came = 0 <= self.law.new_topic_day <= self.day - self.setup.days
        return TOPICS if came else -1

    def advance(self) -> None:
        """Enter the next day: its arrivals (spread over the day), drift, swapped interests and trends."""
        self.day += 1
        law, start = self.law, self.day_start_ms(self.day)
        self.trends = self.trends.with_day(self.setup.seed, law, self.day, start)
        first_late = self.late_topic >= 0 and self.day - self.setup.days == law.new_topic_day
        rng = stream(self.setup.seed, "drift", self.day)
        self.viewers = drifted(self.viewers, rng, law, self.topics, self.late_topic if first_late else -1)
        if 0 <= law.shift_day == self.day - self.setup.days:
            self.viewers = turned(self.viewers, stream(self.setup.seed, "shift", self.day), law)
        judged = self.day >= self.setup.days
        share = law.judged_new_viewers_share if judged else law.new_viewers_share
        rng = stream(self.setup.seed, "users", self.day + 1)
        self.viewers = self.viewers.joined(
            draw_viewers(rng, law, self.topics, _times(rng, start, share * self.setup.users))
        )
        self.satisfaction = np.append(self.satisfaction, np.zeros(len(self.viewers) - len(self.satisfaction)))
        rng = stream(self.setup.seed, "videos", self.day + 1)
        fresh = draw_creators(rng, law, round(law.new_creators_share * len(self.creators)))
        self.creators = self.creators.joined(fresh)
        uploads = _times(rng, start, law.new_videos_share * self.setup.videos)
        self.videos = self.videos.joined(draw_videos(rng, law, self.topics, self.creators, uploads, self.late_topic))

    def viewer_table(self) -> ViewerTable:
        """Today's viewers for compiled code."""
        people = self.viewers
        return ViewerTable(
            taste_vectors(people, self.law, self.topics),
            people.style_taste,
            people.region,
            people.spoken,
            people.propensities,
        )

    def video_table(self) -> VideoTable:
        """Today's videos for compiled code."""
        shown = self.videos
        return VideoTable(
            shown.taste,
            shown.quality,
            shown.style,
            shown.topic,
            shown.author,
            shown.language,
            shown.length_ms,
            shown.bait,
            shown.upload_ms,
            self.topics.ageing_per_day[shown.topic],
            self.creators.quality[shown.author],
        )

    def trend(self, now_ms: int) -> NDArray[np.float32]:
        """Trends at the hour of `now_ms`: [regions, topics]."""
        return self.trends.at(self.law, topic_count(self.law), now_ms - now_ms % HOUR_MS + HOUR_MS // 2)

    def live_videos(self, now_ms: int) -> int:
        """How many videos are uploaded: rows 0 to this number."""
        return int(np.searchsorted(self.videos.upload_ms, now_ms, side="right"))

    def seen(self, viewer: int) -> NDArray[np.int32]:
        """Videos that the viewer saw in the history, ascending; ones that the client never reported included."""
        if self.seen_start is None or self.seen_video is None or viewer + 1 >= len(self.seen_start):
            return np.zeros(0, np.int32)
        return self.seen_video[self.seen_start[viewer] : self.seen_start[viewer + 1]]

    def close_day(self, rows: NDArray[np.int64], mean_appeal: NDArray[np.float64]) -> None:
        """Move the satisfaction of the viewers `rows` toward the mean appeal of their day."""
        rate = self.law.satisfaction_rate
        self.satisfaction[rows] += rate * (np.clip(mean_appeal, -2.0, 2.0) - self.satisfaction[rows])

    def copied(self) -> "World":
        """An independent copy: days that it lives do not touch this world."""
        twin = copy.copy(self)
        twin.satisfaction = self.satisfaction.copy()
        return twin

    def save(self, folder: Path) -> None:
        """Write what cannot be redrawn from the seed, and the manifest."""
        edges = self.follows
        start = self.seen_start if self.seen_start is not None else np.zeros(1, np.int64)
        video = self.seen_video if self.seen_video is not None else np.zeros(0, np.int32)
        np.savez(
            folder / TRUTH_FILE,
            satisfaction=self.satisfaction,
            seen_start=start,
            seen_video=video,
            follow_viewer=edges.viewer,
            follow_author=edges.author,
            follow_time_ms=edges.time_ms,
            region_views=self.region_views,
        )
        manifest = {**vars(self.setup), "day": self.day}
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "World":
        """The saved world: redrawn from its seed, days lived again, then what happened in the log."""
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        last_day = int(manifest.pop("day"))
        setup = Setup(**manifest)
        world = cls.build(**vars(setup))
        for _ in range(last_day + 1):
            world.advance()
        with np.load(folder / TRUTH_FILE) as truth:
            world.satisfaction = truth["satisfaction"]
            world.region_views = truth["region_views"]
            world.seen_start, world.seen_video = truth["seen_start"], truth["seen_video"]
            world.follows = Follows(truth["follow_viewer"], truth["follow_author"], truth["follow_time_ms"])
        return world


def _times(rng: np.random.Generator, start_ms: int, expected: float) -> NDArray[np.int64]:
    """Ascending times within a day, about `expected` of them (the fraction by chance)."""
    count = int(expected) + int(rng.random() < expected % 1.0)
    return np.sort(start_ms + (rng.random(count) * DAY_MS).astype(np.int64))
