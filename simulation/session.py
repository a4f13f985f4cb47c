"""One viewer's session: what it remembers, when it ends, and the rows that it leaves."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulation.compiled import compiled
from simulation.law import KernelLaw
from simulation.utility import (
    ACTION_DRAW,
    END_DRAW,
    NOISE_DRAW,
    VideoTable,
    ViewerTable,
    attention,
    mood_appeal,
    respond,
    sigmoid,
)

PAGE_SIZE = 20
RECENT, RECENT_APPEALS = 10, 5
BETWEEN_VIDEOS_MS = 400
VIEWS, LEAVES_IN_A_ROW = range(2)

ROW = np.dtype(
    [
        ("viewer", np.int32),
        ("video", np.int32),
        ("session", np.int64),
        ("position", np.int32),
        ("arm", np.int8),
        ("propensity", np.float64),
        ("time_ms", np.int64),
        ("play_ms", np.int32),
        ("actions", np.int32),
        ("left", np.bool_),
        ("follows", np.bool_),
        ("known_appeal", np.float32),
        ("appeal", np.float32),
    ]
)
"""What happened, by row numbers. `known_appeal` has neither mood nor noise; `appeal` has both."""


class Session(NamedTuple):
    """Memory of a session, changed in place."""

    window: NDArray[np.int32]  # [topics and authors, 10 latest views]; -1 where empty
    appeals: NDArray[np.float64]  # [5 latest]
    counts: NDArray[np.int64]  # [views, leaves in a row]
    mood: NDArray[np.float64]  # [1]


def new_session(mood: float = 0.0) -> Session:
    """A session without views."""
    return Session(
        np.full((2, RECENT), -1, np.int32), np.zeros(RECENT_APPEALS), np.zeros(2, np.int64), np.array([mood])
    )


@compiled
def reset(session: Session, mood: float) -> None:
    """Forget everything and take a new mood."""
    session.window[:] = -1
    session.counts[:] = 0
    session.mood[0] = mood


@compiled
def remember(session: Session, topic: int, author: int, appeal: float, left: bool) -> None:
    """Add one view to the memory."""
    views = session.counts[VIEWS]
    session.window[0, views % RECENT] = topic
    session.window[1, views % RECENT] = author
    session.appeals[views % RECENT_APPEALS] = appeal
    session.counts[VIEWS] = views + 1
    session.counts[LEAVES_IN_A_ROW] = session.counts[LEAVES_IN_A_ROW] + 1 if left else 0


@compiled
def ends(law: KernelLaw, session: Session, draw: float) -> bool:
    """Whether the session ends after the view just remembered."""
    recent = min(session.counts[VIEWS], RECENT_APPEALS)
    logit = law.end_intercept + law.end_slope * session.appeals[:recent].mean()
    if session.counts[LEAVES_IN_A_ROW] >= 3:
        logit += law.end_three_leaves
    return draw < sigmoid(logit)


@compiled
def fill_draws(rng: np.random.Generator, draws: NDArray[np.float64]) -> None:
    """One view's random numbers: a normal, then uniforms."""
    draws[NOISE_DRAW] = rng.standard_normal()
    for i in range(NOISE_DRAW + 1, ACTION_DRAW + 8):
        draws[i] = rng.random()


@compiled
def view(
    law: KernelLaw,
    quantiles: NDArray[np.float32],
    viewers: ViewerTable,
    videos: VideoTable,
    session: Session,
    u: int,
    v: int,
    known: float,
    position: int,
    follows: bool,
    draws: NDArray[np.float64],
    rows: NDArray[np.void],
    n: int,
) -> bool:
    """Let the viewer see a video of known appeal, write row `n` (but arm, propensity, time); whether it ends."""
    length_ms, bait = videos.length_ms[v], videos.bait[v]
    a = known + mood_appeal(law, session.mood[0], length_ms) + law.noise_sd * draws[NOISE_DRAW]
    play_ms, actions, left = respond(
        law,
        quantiles,
        a,
        attention(law, position),
        viewers.propensities[u],
        videos.creator_quality[v],
        bait,
        follows,
        length_ms,
        draws,
    )
    rows[n].viewer = u
    rows[n].video = v
    rows[n].position = position
    rows[n].play_ms = play_ms
    rows[n].actions = actions
    rows[n].left = left
    rows[n].follows = follows
    rows[n].known_appeal = known
    rows[n].appeal = a
    remember(session, videos.topic[v], videos.author[v], a, left)
    return ends(law, session, draws[END_DRAW])
