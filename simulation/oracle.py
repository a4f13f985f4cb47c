"""The oracle: greedy by true expected reward, within a page and from page to page."""

import math

import numpy as np
from numpy.typing import NDArray

from simulation.compiled import compiled
from simulation.ids import VIDEO, VIEWER, row_of
from simulation.law import HOUR_MS, KernelLaw
from simulation.policies import AUTHOR_CAP, BuiltIn
from simulation.room import Room
from simulation.session import RECENT, VIEWS
from simulation.utility import (
    VideoTable,
    ViewerTable,
    attention,
    base_appeal,
    expected_reward,
    hidden_sd,
    mood_appeal,
    repetition_appeal,
)

LOWEST_APPEAL, APPEAL_STEP, APPEAL_CELLS = -8.0, 0.2, 90
SHORTEST_LOG_MS, LOG_MS_STEP, LOG_MS_CELLS = math.log(5_000.0), 0.25, 20
SHORTLIST = 600


@compiled
def _reward_grid(law: KernelLaw, nodes: NDArray[np.float64], noise_sd: float, grid: NDArray[np.float64]) -> None:
    """Expected reward of an average viewer and creator: [appeal cells, log length cells, bait]."""
    propensities = np.zeros(8, np.float32)
    for i in range(grid.shape[0]):
        for j in range(grid.shape[1]):
            for bait in range(2):
                length_ms = int(math.exp(SHORTEST_LOG_MS + LOG_MS_STEP * j))
                grid[i, j, bait] = expected_reward(
                    law,
                    nodes,
                    LOWEST_APPEAL + APPEAL_STEP * i,
                    1.0,
                    propensities,
                    0.0,
                    bait == 1,
                    False,
                    length_ms,
                    noise_sd,
                )


@compiled
def _screen(
    law: KernelLaw,
    viewers: ViewerTable,
    videos: VideoTable,
    u: int,
    now_ms: int,
    trend: NDArray[np.float32],
    mood: float,
    seen: NDArray[np.bool_],
    follows: NDArray[np.bool_],
    grid: NDArray[np.float64],
    appeals: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    """Appeal without repetition and its average reward, for each live video; seen ones score -inf."""
    for v in range(len(scores)):
        scores[v] = -np.inf
        if seen[v]:
            continue
        a = base_appeal(
            law, viewers, videos, u, v, now_ms // (6 * HOUR_MS) % 4, now_ms, trend, follows[videos.author[v]], False
        )
        a += mood_appeal(law, mood, videos.length_ms[v])
        appeals[v] = a
        x = min(max((a - LOWEST_APPEAL) / APPEAL_STEP, 0.0), grid.shape[0] - 1.001)
        i = int(x)
        j = int((math.log(videos.length_ms[v]) - SHORTEST_LOG_MS) / LOG_MS_STEP + 0.5)
        j = min(max(j, 0), grid.shape[1] - 1)
        bait = 1 if videos.bait[v] else 0
        scores[v] = grid[i, j, bait] + (x - i) * (grid[i + 1, j, bait] - grid[i, j, bait])


@compiled
def _reprice(
    law: KernelLaw,
    nodes: NDArray[np.float64],
    noise_sd: float,
    viewers: ViewerTable,
    videos: VideoTable,
    u: int,
    window: NDArray[np.int32],
    follows: NDArray[np.bool_],
    position: int,
    chosen: NDArray[np.int64],
    appeals: NDArray[np.float64],
    tired: NDArray[np.float64],
    rewards: NDArray[np.float64],
) -> None:
    """Exact rewards of the shortlist; only those whose tiredness changed are computed again."""
    for k in range(len(chosen)):
        v = chosen[k]
        now_tired = repetition_appeal(law, window, videos.topic[v], videos.author[v])
        if now_tired == tired[k] and law.attention_loss == 0.0:
            continue
        tired[k] = now_tired
        rewards[k] = expected_reward(
            law,
            nodes,
            appeals[v] + now_tired,
            attention(law, position),
            viewers.propensities[u],
            videos.creator_quality[v],
            videos.bait[v],
            follows[videos.author[v]],
            videos.length_ms[v],
            noise_sd,
        )


@compiled
def _pick(
    law: KernelLaw,
    nodes: NDArray[np.float64],
    noise_sd: float,
    viewers: ViewerTable,
    videos: VideoTable,
    u: int,
    window: NDArray[np.int32],
    views: int,
    foresees: bool,
    follows: NDArray[np.bool_],
    cap: int,
    chosen: NDArray[np.int64],
    appeals: NDArray[np.float64],
    page: NDArray[np.int64],
) -> int:
    """Fill the page one best video at a time; how many were found.

    With `foresees`, each pick counts as watched when the next is priced; else prices stay as at the page's start.
    """
    tired, rewards = np.full(len(chosen), np.nan), np.empty(len(chosen))
    usable = np.ones(len(chosen), np.bool_)
    for place in range(len(page)):
        if place == 0 or foresees:
            _reprice(law, nodes, noise_sd, viewers, videos, u, window, follows, place, chosen, appeals, tired, rewards)
        best = -1
        for k in range(len(chosen)):
            if usable[k] and (best < 0 or rewards[k] > rewards[best]):
                best = k
        if best < 0:
            return place
        page[place] = chosen[best]
        usable[best] = False
        author = videos.author[page[place]]
        if (videos.author[page[: place + 1]] == author).sum() >= cap:
            usable &= videos.author[chosen] != author
        window[0, (views + place) % RECENT] = videos.topic[page[place]]
        window[1, (views + place) % RECENT] = author
    return len(page)


class Oracle(BuiltIn):
    """Knows tastes, qualities and the law; not the noise of a view nor, unless told, the session's mood."""

    def __init__(self, author_cap: int = AUTHOR_CAP, knows_mood: bool = False, foresees: bool = False) -> None:
        super().__init__(author_cap)
        self._knows_mood = knows_mood
        self._foresees = foresees
        self._noise_sd = 0.0
        self._grid = np.zeros((APPEAL_CELLS, LOG_MS_CELLS, 2))

    def enter(self, room: Room) -> None:
        """Prepare the screening grid of the room's law."""
        super().enter(room)
        law = room.world.law.kernel
        self._noise_sd = hidden_sd(law, self._knows_mood)
        _reward_grid(law, room.nodes, self._noise_sd, self._grid)

    def page(self, viewer_id: str, now_ms: int, limit: int) -> list[str]:
        """The page that takes the highest expected reward at each place."""
        room, seat = self.room, self.room.seats[row_of(viewer_id, VIEWER)]
        law, live = room.world.law.kernel, room.live(now_ms)
        appeals, scores = np.empty(live), np.empty(live)
        mood = float(seat.session.mood[0]) if self._knows_mood else 0.0
        _screen(
            law,
            room.viewers,
            room.videos,
            seat.viewer,
            now_ms,
            room.world.trend(now_ms),
            mood,
            seat.seen,
            seat.follows,
            self._grid,
            appeals,
            scores,
        )
        size = min(SHORTLIST, live)
        chosen = np.argpartition(-scores, size - 1)[:size].astype(np.int64)
        chosen = chosen[np.isfinite(scores[chosen])]
        page = np.empty(limit, np.int64)
        found = _pick(
            law,
            room.nodes,
            self._noise_sd,
            room.viewers,
            room.videos,
            seat.viewer,
            seat.session.window.copy(),
            int(seat.session.counts[VIEWS]),
            self._foresees,
            seat.follows,
            self.author_cap,
            chosen,
            appeals,
            page,
        )
        return [f"{VIDEO}{video}" for video in page[:found]]
