"""How the judged days' new videos of creators whom nobody follows came to be seen, and by whom."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulation.law import DAY_MS, HOUR_MS
from simulation.room import Room
from simulation.utility import base_appeal

AUDIENCE = 3  # views that make an audience
NOON_MS = 12 * HOUR_MS


@dataclass(frozen=True)
class NewVideos:
    """Of new videos from creators without a follower that had a whole day to be seen: `shown` and `audience` are the
    shares with 1 and AUDIENCE views in their first day, `hours` is the median time to the last of those AUDIENCE views,
    and `match` the mean place of those who saw one among all sampled viewers by how much it appeals to them: 0 least,
    0.5 by chance, 1 most."""

    videos: int
    shown: float
    audience: float
    hours: float
    match: float


NONE = NewVideos(0, float("nan"), float("nan"), float("nan"), float("nan"))


def new_videos(
    room: Room, known: int, end_ms: int, viewer: NDArray[np.int64], video: NDArray[np.int64], time_ms: NDArray[np.int64]
) -> NewVideos:
    """Measured from all judged views [n]; videos up to row `known` were there before, the judging ends at `end_ms`."""
    videos, follows = room.world.videos, room.world.follows
    followed = np.bincount(follows.author, minlength=len(room.world.creators)) > 0
    rows = np.arange(known, len(videos))
    rows = rows[~followed[videos.author[rows]] & (videos.upload_ms[rows] + DAY_MS <= end_ms)]
    ages = [np.sort((time_ms - videos.upload_ms[row])[video == row]) for row in rows]
    ages = [age[age < DAY_MS] for age in ages]
    if not len(rows):
        return NONE
    waits = [age[AUDIENCE - 1] / HOUR_MS for age in ages if len(age) >= AUDIENCE]
    places = [place for row in rows for place in _places(room, int(row), viewer[video == row])]
    return NewVideos(
        videos=len(rows),
        shown=float(np.mean([len(age) > 0 for age in ages])),
        audience=len(waits) / len(rows),
        hours=float(np.median(waits)) if waits else float("nan"),
        match=float(np.mean(places)) if places else float("nan"),
    )


def _places(room: Room, video: int, saw: NDArray[np.int64]) -> list[float]:
    """Where each of those who saw a video stands among all by its appeal at noon of its first day. [saw]"""
    if not len(saw):
        return []
    law, upload_ms = room.world.law.kernel, int(room.videos.upload_ms[video])
    noon_ms = upload_ms - upload_ms % DAY_MS + NOON_MS
    trend, everybody = room.world.trend(noon_ms), list(room.seats)
    people, catalogue, daypart = room.viewers, room.videos, NOON_MS // (6 * HOUR_MS)
    appeal = np.array(
        [base_appeal(law, people, catalogue, u, video, daypart, noon_ms, trend, False, False) for u in everybody]
    )
    place = {viewer: at for at, viewer in enumerate(everybody)}
    own = appeal[[place[viewer] for viewer in saw.tolist()]]
    below = (appeal[None, :] < own[:, None]).sum(axis=1)
    return [float(value) for value in below / max(len(everybody) - 1, 1)]
