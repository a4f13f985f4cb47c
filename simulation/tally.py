"""Counts what a judged policy did, view by view."""

import numpy as np
from numpy.typing import NDArray

from simulation.ids import VIEWER
from simulation.law import DAY_MS
from simulation.newcomers import NONE, NewVideos, new_videos
from simulation.room import Room
from simulation.scores import JudgeResult, gini

FIRST_VIDEOS = 20
GOOD_SHARE = 0.1  # of new videos, by hidden quality, bait left out


class Tally:
    """Sums of one run."""

    def __init__(self, catalogue: int) -> None:
        self._old_videos = catalogue
        self._reward: dict[int, float] = {}
        self._views: dict[int, int] = {}
        self._newcomer_rewards: dict[int, list[float]] = {}
        self._shown: list[NDArray[np.int64]] = []
        self._shown_ms: list[NDArray[np.int64]] = []
        self._shown_to: list[NDArray[np.int64]] = []
        self._returns: list[float] = []
        self._today: list[float] = [0.0, 0.0]  # reward and counted views
        self._daily: list[float] = []
        self.session_ends = self.repeats = self.invalid = self.cap_breaches = self.missing = 0

    def expect(self, viewer: int, counted: bool, newcomer: bool) -> None:
        """A sampled viewer: whether the main reward counts it, and whether it is new."""
        if counted:
            self._reward[viewer], self._views[viewer] = 0.0, 0
        if newcomer:
            self._newcomer_rewards[viewer] = []

    def count(self, viewer: int, rows: NDArray[np.void], rewards: NDArray[np.float64]) -> None:
        """Views of one page."""
        if viewer in self._reward:
            self._reward[viewer] += float(rewards.sum())
            self._views[viewer] += len(rewards)
            self._today[0] += float(rewards.sum())
            self._today[1] += len(rewards)
        if viewer in self._newcomer_rewards:
            self._newcomer_rewards[viewer].extend(rewards.tolist())
        self._shown.append(rows["video"].astype(np.int64))
        self._shown_ms.append(rows["time_ms"].astype(np.int64))
        self._shown_to.append(np.full(len(rows), viewer))

    def count_missing(self, viewer: int, views: int) -> None:
        """Views that the policy had nothing for: reward 0."""
        self.missing += views
        if viewer in self._views:
            self._views[viewer] += views
            self._today[1] += views
        if viewer in self._newcomer_rewards:
            self._newcomer_rewards[viewer].extend([0.0] * views)

    def count_return(self, probability: float) -> None:
        """A day is over: the mean chance of return after it."""
        self._returns.append(probability)
        self._daily.append(self._today[0] / max(self._today[1], 1.0))
        self._today = [0.0, 0.0]

    def result(self, room: Room) -> JudgeResult:
        """The measures, once the judging is over."""
        shown = np.concatenate(self._shown) if self._shown else np.zeros(0, np.int64)
        counts = np.bincount(shown, minlength=len(room.world.videos))
        by_creator = np.bincount(room.videos.author, weights=counts, minlength=len(room.world.creators))
        has_video = np.bincount(room.videos.author, minlength=len(room.world.creators)) > 0
        reward, views = np.array(list(self._reward.values())), np.array(list(self._views.values()), np.float64)
        first = [values[:FIRST_VIDEOS] for values in self._newcomer_rewards.values() if values]
        return JudgeResult(
            reward_per_view=float(reward.sum() / max(views.sum(), 1.0)),
            viewer_ids=[f"{VIEWER}{viewer}" for viewer in self._reward],
            viewer_reward=reward,
            viewer_views=views,
            session_views=len(shown) / max(self.session_ends, 1),
            return_probability=float(np.mean(self._returns)),
            coverage=float((counts > 0).mean()),
            creator_gini=gini(by_creator[has_video].astype(np.float64)),
            new_viewer_reward=float(np.mean(np.concatenate(first))) if first else float("nan"),
            good_new_video_views=self._good_new_video_views(room, shown),
            new_videos=self._new_videos(room, shown),
            repeats=self.repeats,
            invalid=self.invalid,
            author_cap_breaches=self.cap_breaches,
            missing_views=self.missing,
            daily_reward=tuple(self._daily),
        )

    def _new_videos(self, room: Room, shown: NDArray[np.int64]) -> NewVideos:
        """How new videos of creators whom nobody follows fared."""
        if not len(shown):
            return NONE
        end_ms = room.world.day_start_ms(room.world.day + 1)
        told = np.concatenate(self._shown_to), shown, np.concatenate(self._shown_ms)
        return new_videos(room, self._old_videos, end_ms, *told)

    def _good_new_video_views(self, room: Room, shown: NDArray[np.int64]) -> float:
        """First-day views of a good new video for each 1000 views judged."""
        videos = room.world.videos
        new = np.arange(self._old_videos, len(videos))
        new = new[~videos.bait[new]]
        if not len(new) or not len(shown):
            return 0.0
        good = new[videos.quality[new] >= np.quantile(videos.quality[new], 1.0 - GOOD_SHARE)]
        age_ms = np.concatenate(self._shown_ms) - videos.upload_ms[shown]
        return float((np.isin(shown, good) & (age_ms < DAY_MS)).sum() / len(good) / len(shown) * 1000.0)
