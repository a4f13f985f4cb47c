"""Sessions under the logging policy, in compiled code."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulation.compiled import compiled
from simulation.law import FOLLOW, HOUR_MS, KernelLaw
from simulation.logging_policy import TOP_TOPICS, Catalogue, Following, draw, mixture_chance, top_topics
from simulation.pair_set import add, contains, pair
from simulation.session import BETWEEN_VIDEOS_MS, PAGE_SIZE, VIEWS, Session, fill_draws, reset, view
from simulation.utility import DRAWS, VideoTable, ViewerTable, base_appeal, repetition_appeal

MAX_SESSION_VIEWS = 400
LONG_RATIO, LONG_MS = 0.95, 18_000
BETWEEN_SESSIONS_MS = 60_000


class Memory(NamedTuple):
    """What the log changes as it grows, in place."""

    seen: NDArray[np.int64]  # set of pair(viewer, video)
    seen_total: NDArray[np.int64]  # [1]
    seen_video: NDArray[np.int32]  # [impressions], in time order of sessions
    seen_previous: NDArray[np.int64]  # the row of the same viewer before, -1 for none
    seen_last: NDArray[np.int64]  # [viewers]: row of the latest
    topic_views: NDArray[np.float32]  # [viewers, topics]: long views by public topic
    region_views: NDArray[np.float64]  # [regions, videos]: decayed first views, at least half watched
    appeal_sum: NDArray[np.float64]  # [viewers], today
    appeal_count: NDArray[np.int64]  # [viewers], today
    free_ms: NDArray[np.int64]  # [viewers]: end of the latest session
    later_total: NDArray[np.int64]  # [1]: follows made in the log
    later_viewer: NDArray[np.int32]
    later_time_ms: NDArray[np.int64]


class Plan(NamedTuple):
    """Sessions of an hour by start, and the budget of views."""

    viewer: NDArray[np.int64]
    start_ms: NDArray[np.int64]
    mood: NDArray[np.float64]
    first_id: int
    budget: int


@compiled
def is_long_view(play_ms: int, length_ms: int) -> bool:
    """Nearly all of it, or 18 seconds."""
    return play_ms >= LONG_RATIO * length_ms or play_ms >= LONG_MS


@compiled
def _note_follow(following: Following, memory: Memory, u: int, author: int, time_ms: int) -> None:
    """Remember a new follow."""
    row = memory.later_total[0]
    if row >= len(following.later_author) or not add(following.pairs, pair(u, author)):
        return
    following.later_author[row] = author
    following.later_previous[row] = following.later_last[u]
    following.later_last[u] = row
    following.later_count[u] += 1
    memory.later_viewer[row] = u
    memory.later_time_ms[row] = time_ms
    memory.later_total[0] = row + 1


@compiled
def _note_seen(memory: Memory, u: int, v: int) -> None:
    """Remember a video that the viewer had not seen."""
    row = memory.seen_total[0]
    add(memory.seen, pair(u, v))
    memory.seen_video[row] = v
    memory.seen_previous[row] = memory.seen_last[u]
    memory.seen_last[u] = row
    memory.seen_total[0] = row + 1


@compiled
def seen_chance(
    catalogue: Catalogue,
    following: Following,
    memory: Memory,
    u: int,
    region: int,
    topics: NDArray[np.int16],
    count: int,
) -> float:
    """Chance that the mixture draws something that the viewer has seen."""
    total, row = 0.0, memory.seen_last[u]
    while row >= 0:
        total += mixture_chance(catalogue, following, u, region, topics, count, memory.seen_video[row])
        row = memory.seen_previous[row]
    return total


@compiled
def _note_view(
    catalogue: Catalogue, following: Following, memory: Memory, region: int, length_ms: int, row: np.void
) -> None:
    """Let the world and the logging policy remember a view."""
    u, v = row.viewer, row.video  # type: ignore[attr-defined]
    _note_seen(memory, u, v)
    if 2 * row.play_ms >= length_ms:  # type: ignore[attr-defined]
        memory.region_views[region, v] += 1.0
    memory.appeal_sum[u] += row.appeal  # type: ignore[attr-defined]
    memory.appeal_count[u] += 1
    if is_long_view(row.play_ms, length_ms):  # type: ignore[attr-defined]
        memory.topic_views[u, catalogue.topic[v]] += 1.0
    if row.actions >> FOLLOW & 1:  # type: ignore[attr-defined]
        _note_follow(following, memory, u, catalogue.author[v], row.time_ms + row.play_ms)  # type: ignore[attr-defined]


# Where so much of what the policy would draw has been seen, a session is over: there is hardly anything left to find.
SEEN_IT_ALL: Final = 0.98


@compiled
def _run_session(
    law: KernelLaw,
    quantiles: NDArray[np.float32],
    viewers: ViewerTable,
    videos: VideoTable,
    trend: NDArray[np.float32],
    catalogue: Catalogue,
    following: Following,
    memory: Memory,
    session: Session,
    topics: NDArray[np.int16],
    draws: NDArray[np.float64],
    u: int,
    now_ms: int,
    session_id: int,
    budget: int,
    rows: NDArray[np.void],
    first: int,
    logging_rng: np.random.Generator,
    action_rng: np.random.Generator,
) -> int:
    """One session from `now_ms`; rows from `first` on. Returns the number of views."""
    region, n = viewers.region[u], first
    known_topics = top_topics(memory.topic_views[u], topics)
    seen = seen_chance(catalogue, following, memory, u, region, topics, known_topics)
    for _ in range(min(budget, MAX_SESSION_VIEWS)):
        if seen > SEEN_IT_ALL:
            break
        v, arm = draw(catalogue, following, u, region, topics, known_topics, logging_rng)
        while contains(memory.seen, pair(u, v)):
            v, arm = draw(catalogue, following, u, region, topics, known_topics, logging_rng)
        chance = mixture_chance(catalogue, following, u, region, topics, known_topics, v)
        follows = contains(following.pairs, pair(u, videos.author[v]))
        known = base_appeal(law, viewers, videos, u, v, now_ms // (6 * HOUR_MS) % 4, now_ms, trend, follows, False)
        known += repetition_appeal(law, session.window, videos.topic[v], videos.author[v])
        fill_draws(action_rng, draws)
        ended = view(
            law,
            quantiles,
            viewers,
            videos,
            session,
            u,
            v,
            known,
            session.counts[VIEWS] % PAGE_SIZE,
            follows,
            draws,
            rows,
            n,
        )
        rows[n].arm = arm
        rows[n].propensity = chance / (1.0 - seen)
        rows[n].session = session_id
        rows[n].time_ms = now_ms
        made = memory.later_total[0]
        _note_view(catalogue, following, memory, region, videos.length_ms[v], rows[n])
        if memory.later_total[0] == made:
            seen += chance
        else:
            seen = seen_chance(catalogue, following, memory, u, region, topics, known_topics)
        now_ms += rows[n].play_ms + BETWEEN_VIDEOS_MS
        n += 1
        if ended:
            break
    memory.free_ms[u] = now_ms + BETWEEN_SESSIONS_MS
    return n - first


@compiled
def run_sessions(
    law: KernelLaw,
    quantiles: NDArray[np.float32],
    viewers: ViewerTable,
    videos: VideoTable,
    trend: NDArray[np.float32],
    catalogue: Catalogue,
    following: Following,
    memory: Memory,
    session: Session,
    plan: Plan,
    first_session: int,
    rows: NDArray[np.void],
    logging_rng: np.random.Generator,
    action_rng: np.random.Generator,
) -> tuple[int, int]:
    """Sessions of the plan from `first_session` until rows or budget are full: rows written, next session."""
    n, draws, topics = 0, np.empty(DRAWS), np.empty(TOP_TOPICS, np.int16)
    for s in range(first_session, len(plan.viewer)):
        if n + MAX_SESSION_VIEWS > len(rows) or n >= plan.budget:
            return n, s
        u = plan.viewer[s]
        reset(session, plan.mood[s])
        start_ms = max(plan.start_ms[s], memory.free_ms[u])
        n += _run_session(
            law,
            quantiles,
            viewers,
            videos,
            trend,
            catalogue,
            following,
            memory,
            session,
            topics,
            draws,
            u,
            start_ms,
            plan.first_id + s,
            plan.budget - n,
            rows,
            n,
            logging_rng,
            action_rng,
        )
    return n, len(plan.viewer)
