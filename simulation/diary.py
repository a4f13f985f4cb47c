"""A viewer's judged day as random numbers, drawn by viewer, day and view, so that every policy meets the same ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.history import HOURLY_ACTIVITY
from simulation.law import HOUR_MS
from simulation.streams import stream
from simulation.utility import DRAWS, NOISE_DRAW

SHORTEST_GAP_MS, LONGEST_GAP_MS = 300_000, HOUR_MS


@dataclass
class Diary:
    """What a day holds for one viewer, and how far it went."""

    day: int
    start_ms: int  # within the day
    moods: NDArray[np.float64]  # [sessions]
    gaps_ms: NDArray[np.int64]  # [sessions]: pause after each
    delays: NDArray[np.float64]  # [views]: of the law's longest feedback delay
    draws: NDArray[np.float64]  # [views, DRAWS]
    views: int = 0
    sessions: int = 0  # ended
    open: bool = False  # whether a session runs


def draw_diary(seed: int, viewer: int, day: int, views: int) -> Diary:
    """The day of a viewer; each view could end a session, so there are as many of those."""
    rng = stream(seed, "judge", viewer, day)
    hour = rng.choice(24, p=HOURLY_ACTIVITY / HOURLY_ACTIVITY.sum())
    start = int((hour + rng.random()) * HOUR_MS)
    draws = rng.random((views, DRAWS))
    draws[:, NOISE_DRAW] = rng.standard_normal(views)
    return Diary(
        day,
        start,
        rng.standard_normal(views),
        rng.integers(SHORTEST_GAP_MS, LONGEST_GAP_MS, size=views),
        rng.random(views),
        draws,
    )
