"""Judges any policy in a world: the same viewers, videos and random numbers for each.

A judged day: every sampled viewer comes at a drawn time and views videos, in sessions that end by the law and begin
again after a pause, until `views_per_day` are counted. The chance of coming back is measured, not played out, so that
all policies are judged on the same viewers. Reward of a view: `utility.reward_of` averaged over the noise, given
everything else, the session's mood included.
"""

import heapq
import itertools

import numpy as np
from numpy.typing import NDArray

from simulation.diary import Diary, draw_diary
from simulation.ids import EVENT, SESSION, VIDEO, VIEWER, row_of
from simulation.law import ACTIONS, HOUR_MS
from simulation.policies import AUTHOR_CAP, BuiltIn
from simulation.public import SURFACE, Policy, WideRow, public_users, public_videos
from simulation.room import Room, Seat
from simulation.scores import JudgeResult
from simulation.session import BETWEEN_VIDEOS_MS, PAGE_SIZE, reset
from simulation.streams import stream
from simulation.tally import Tally
from simulation.world import World

ARRIVALS, DAY, FEEDBACK, PAGE = range(4)  # the order of what happens at one time
NEW_VIEWERS_A_DAY = 10


def run(
    world: World,
    policy: Policy,
    days: int,
    viewers: int = 300,
    views_per_day: int = 40,
    page_size: int = PAGE_SIZE,
    seed: int = 0,
    new_viewers_a_day: int = NEW_VIEWERS_A_DAY,
) -> JudgeResult:
    """Score a policy on `days` days after the world's history; the world itself stays as it is.

    `viewers` are sampled among those of the history; each day adds new ones at the law's rate, and more, up to
    `new_viewers_a_day`, who count for the new viewers' reward only. Raises ValueError for a world that has not lived
    its history, or sizes below 1.
    """
    if world.day != world.setup.days - 1:
        raise ValueError("the world must be at the end of its history")
    if min(days, viewers, views_per_day, page_size) < 1:
        raise ValueError("days, viewers, views_per_day and page_size are 1 or more")
    judging = _Judging(Room(world.copied()), policy, days, viewers, views_per_day, page_size, seed)
    judging.new_viewers_a_day = new_viewers_a_day
    return judging.run()


class _Judging:
    """One run: a clock, seats, and what happens next."""

    new_viewers_a_day = NEW_VIEWERS_A_DAY

    def __init__(
        self, room: Room, policy: Policy, days: int, viewers: int, views_per_day: int, page_size: int, seed: int
    ) -> None:
        self._room, self._policy, self._days = room, policy, days
        self._sample, self._views, self._page_size, self._seed = viewers, views_per_day, page_size, seed
        self._tally = Tally(len(room.world.videos))
        self._agenda: list[tuple[int, int, int, object]] = []
        self._serial, self._events = itertools.count(), itertools.count()
        self._known_users, self._known_videos = len(room.world.viewers), len(room.world.videos)
        self._free_ms: dict[int, int] = {}

    def run(self) -> JudgeResult:
        """Live through the agenda."""
        world = self._room.world
        if isinstance(self._policy, BuiltIn):
            self._policy.enter(self._room)
        rng = stream(self._seed, "judge-sample")
        count = len(world.viewers)
        for viewer in np.sort(rng.choice(count, min(self._sample, count), replace=False)).tolist():
            self._room.sit(viewer)
            self._tally.expect(viewer, counted=True, newcomer=False)
        self._plan(world.day_start_ms(world.setup.days), DAY, 0)
        while self._agenda:
            now_ms, kind, _, what = heapq.heappop(self._agenda)
            if kind == PAGE:
                self._page(now_ms, *what)  # type: ignore[misc]
            elif kind == FEEDBACK:
                self._policy.feedback(*what)  # type: ignore[misc]
            elif kind == ARRIVALS:
                self._announce(now_ms)
            else:
                self._turn_day(now_ms, what)  # type: ignore[arg-type]
        return self._tally.result(self._room)

    def _plan(self, time_ms: int, kind: int, what: object) -> None:
        heapq.heappush(self._agenda, (time_ms, kind, next(self._serial), what))

    def _turn_day(self, now_ms: int, day: int) -> None:
        """Midnight: end a judged day, begin the next."""
        if day > 0:
            self._tally.count_return(self._room.close_day())
            self._policy.end_of_day(day - 1)
        if day == self._days:
            return
        before = len(self._room.world.viewers)
        self._room.open_day()
        self._seat_newcomers(day, before)
        for hour in range(1, 25):
            self._plan(now_ms + hour * HOUR_MS, ARRIVALS, None)
        self._plan(now_ms + 24 * HOUR_MS, DAY, day + 1)
        for viewer, seat in self._room.seats.items():
            diary = draw_diary(self._seed, viewer, day, self._views)
            announced = -(-int(self._room.world.viewers.signup_ms[viewer]) // HOUR_MS) * HOUR_MS
            start_ms = max(now_ms + diary.start_ms, announced, self._free_ms.get(viewer, 0))
            self._plan(start_ms, PAGE, (seat, diary))

    def _seat_newcomers(self, day: int, before: int) -> None:
        """Sample the day's new viewers; the law's share of them counts in the main reward."""
        came = len(self._room.world.viewers) - before
        natural = min(came, round(self._sample * self._room.world.law.judged_new_viewers_share))
        size = min(came, max(natural, self.new_viewers_a_day))
        picked = stream(self._seed, "judge-sample", day + 1).permutation(came)[:size] + before
        for rank, viewer in enumerate(picked.tolist()):
            self._room.sit(viewer)
            self._tally.expect(viewer, counted=rank < natural, newcomer=True)

    def _announce(self, now_ms: int) -> None:
        """Tell the policy who and what came in the last hour."""
        world = self._room.world
        users = int(np.searchsorted(world.viewers.signup_ms, now_ms, side="right"))
        videos = self._room.live(now_ms)
        if users > self._known_users or videos > self._known_videos:
            self._policy.arrivals(
                public_users(world.viewers, self._known_users, users),
                public_videos(world.videos, self._known_videos, videos),
            )
        self._known_users, self._known_videos = users, videos

    def _page(self, now_ms: int, seat: Seat, diary: Diary) -> None:
        """One page: ask, watch, count, feed back, and plan what comes next."""
        if not diary.open:
            reset(seat.session, float(diary.moods[diary.sessions]))
            diary.open = True
        page = self._valid(self._policy.page(f"{VIEWER}{seat.viewer}", now_ms, self._page_size), seat, now_ms)
        if not len(page):
            self._tally.count_missing(seat.viewer, self._views - diary.views)
            return
        page = page[: self._views - diary.views]
        first = diary.views
        rows, rewards, ended = self._room.watch(seat, page, now_ms, diary.draws[first:])
        self._tally.count(seat.viewer, rows, rewards)
        diary.views += len(rows)
        end_ms = int(rows["time_ms"][-1] + rows["play_ms"][-1])
        self._feed_back(seat.viewer, rows, diary, first, end_ms)
        next_ms = end_ms + BETWEEN_VIDEOS_MS
        if ended:
            next_ms += int(diary.gaps_ms[diary.sessions])
            diary.sessions, diary.open = diary.sessions + 1, False
            self._tally.session_ends += 1
        if diary.views < self._views:
            self._plan(next_ms, PAGE, (seat, diary))
        self._free_ms[seat.viewer] = next_ms

    def _valid(self, names: list[str], seat: Seat, now_ms: int) -> NDArray[np.int64]:
        """Rows of the page's videos without what must not be shown."""
        live, kept = self._room.live(now_ms), dict[int, None]()
        for name in names:
            try:
                video = row_of(name, VIDEO)
            except ValueError:
                video = live
            if video >= live or len(kept) >= self._page_size:
                self._tally.invalid += 1
            elif video in kept or seat.seen[video]:
                self._tally.repeats += 1
            else:
                kept[video] = None
        page = np.array(list(kept), np.int64)
        by_author = np.unique(self._room.videos.author[page], return_counts=True)[1]
        self._tally.cap_breaches += int(np.maximum(by_author - AUTHOR_CAP, 0).sum())
        return page

    def _feed_back(self, viewer: int, rows: NDArray[np.void], diary: Diary, first: int, end_ms: int) -> None:
        """Plan that the policy learns what happened, at the page's end or after the law's delay."""
        longest = self._room.world.law.feedback_delay_ms
        session = f"{SESSION}j{viewer}-{diary.day}-{diary.sessions}"
        told: dict[int, list[WideRow]] = {}
        for row, delay in zip(rows, diary.delays[first:], strict=False):
            known_ms = max(end_ms, int(row["time_ms"] + row["play_ms"] + delay * longest)) if longest else end_ms
            told.setdefault(known_ms, []).append(self._wide(viewer, session, row, known_ms))
        for known_ms, wide in told.items():
            self._plan(known_ms, FEEDBACK, (f"{VIEWER}{viewer}", wide))

    def _wide(self, viewer: int, session: str, row: np.void, known_ms: int) -> WideRow:
        """The public row of a judged view; its propensity is not known and stands as 1."""
        video, bits = int(row["video"]), int(row["actions"])
        time_ms, play_ms = int(row["time_ms"]), int(row["play_ms"])
        acted = {action: bool(bits >> bit & 1) for bit, action in enumerate(ACTIONS)}
        return WideRow(
            event_id=f"{EVENT}j{next(self._events)}",
            session_id=session,
            viewer_id=f"{VIEWER}{viewer}",
            video_id=f"{VIDEO}{video}",
            position=int(row["position"]),
            surface=SURFACE,
            source="policy",
            propensity=1.0,
            time_ms=time_ms,
            watch_end_ms=time_ms + play_ms,
            ingested_ms=known_ms,
            play_ms=play_ms,
            length_ms=int(self._room.videos.length_ms[video]),
            **acted,
        )
