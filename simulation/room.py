"""Where a policy is judged: the sampled viewers in a world of their own, and what a page does to one of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.beta_table import quantile_table
from simulation.compiled import compiled
from simulation.law import FOLLOW, HOUR_MS, KernelLaw, return_probability
from simulation.session import BETWEEN_VIDEOS_MS, ROW, Session, new_session, view
from simulation.utility import (
    VideoTable,
    ViewerTable,
    attention,
    base_appeal,
    expected_reward,
    mood_appeal,
    noise_nodes,
    repetition_appeal,
)
from simulation.world import World


@compiled
def watch_page(
    law: KernelLaw,
    quantiles: NDArray[np.float32],
    nodes: NDArray[np.float64],
    viewers: ViewerTable,
    videos: VideoTable,
    session: Session,
    u: int,
    page: NDArray[np.int64],
    now_ms: int,
    trend: NDArray[np.float32],
    seen: NDArray[np.bool_],
    follows: NDArray[np.bool_],
    draws: NDArray[np.float64],
    rows: NDArray[np.void],
    rewards: NDArray[np.float64],
) -> tuple[int, bool]:
    """A viewer works down a page, one row of `draws` for each view: views, and whether the session ended.

    `seen` [videos] and `follows` [creators] are the viewer's own, changed in place.
    """
    for n in range(len(page)):
        v = page[n]
        author, length_ms = videos.author[v], videos.length_ms[v]
        known = base_appeal(
            law, viewers, videos, u, v, now_ms // (6 * HOUR_MS) % 4, now_ms, trend, follows[author], seen[v]
        )
        known += repetition_appeal(law, session.window, videos.topic[v], author)
        rewards[n] = expected_reward(
            law,
            nodes,
            known + mood_appeal(law, session.mood[0], length_ms),
            attention(law, n),
            viewers.propensities[u],
            videos.creator_quality[v],
            videos.bait[v],
            follows[author],
            length_ms,
            law.noise_sd,
        )
        ended = view(law, quantiles, viewers, videos, session, u, v, known, n, follows[author], draws[n], rows, n)
        rows[n].time_ms = now_ms
        seen[v] = True
        if rows[n].actions >> FOLLOW & 1:
            follows[author] = True
        now_ms += rows[n].play_ms + BETWEEN_VIDEOS_MS
        if ended:
            return n + 1, True
    return len(page), False


@dataclass
class Seat:
    """A sampled viewer: what was seen and followed, and the session."""

    viewer: int
    seen: NDArray[np.bool_]
    follows: NDArray[np.bool_]
    session: Session
    appeal_sum: float = 0.0
    appeal_count: int = 0


class Room:
    """A world with seats for the sampled viewers; built-in policies may look at its truth."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seats: dict[int, Seat] = {}
        self.nodes = noise_nodes()
        self.viewers, self.videos = world.viewer_table(), world.video_table()

    def close_day(self) -> float:
        """Move the satisfaction of those who came; the mean chance that a sampled viewer comes back."""
        came = [seat for seat in self.seats.values() if seat.appeal_count]
        if came:
            means = np.array([seat.appeal_sum / seat.appeal_count for seat in came])
            self.world.close_day(np.array([seat.viewer for seat in came]), means)
        for seat in came:
            seat.appeal_sum, seat.appeal_count = 0.0, 0
        return float(return_probability(self.world.law, self.world.satisfaction[list(self.seats)]).mean())

    def open_day(self) -> None:
        """Advance the world and make room for what the day brings."""
        self.world.advance()
        self.viewers, self.videos = self.world.viewer_table(), self.world.video_table()
        for seat in self.seats.values():
            seat.seen = _padded(seat.seen, len(self.world.videos))
            seat.follows = _padded(seat.follows, len(self.world.creators))

    def live(self, now_ms: int) -> int:
        """How many videos have been announced: rows 0 to this number; announcements come on the hour."""
        return self.world.live_videos(now_ms - now_ms % HOUR_MS)

    def sit(self, viewer: int) -> Seat:
        """A seat for a viewer, with the history behind."""
        seen = np.zeros(len(self.world.videos), np.bool_)
        seen[self.world.seen(viewer)] = True
        follows = np.zeros(len(self.world.creators), np.bool_)
        edges = self.world.follows
        low, high = np.searchsorted(edges.viewer, [viewer, viewer + 1])
        follows[edges.author[low:high]] = True
        seat = self.seats[viewer] = Seat(viewer, seen, follows, new_session())
        return seat

    def watch(
        self, seat: Seat, page: NDArray[np.int64], now_ms: int, draws: NDArray[np.float64]
    ) -> tuple[NDArray[np.void], NDArray[np.float64], bool]:
        """Let a viewer work down a page: rows, true expected rewards, whether the session ended."""
        rows, rewards = np.zeros(len(page), ROW), np.zeros(len(page))
        views, ended = watch_page(
            self.world.law.kernel,
            quantile_table(),
            self.nodes,
            self.viewers,
            self.videos,
            seat.session,
            seat.viewer,
            page,
            now_ms,
            self.world.trend(now_ms),
            seat.seen,
            seat.follows,
            draws,
            rows,
            rewards,
        )
        seat.appeal_sum += float(rows["appeal"][:views].sum())
        seat.appeal_count += views
        return rows[:views], rewards[:views], ended


def _padded(flags: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """The flags with False for what is new."""
    return np.pad(flags, (0, size - len(flags)))
