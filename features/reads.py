"""Reads of raw state: what is known of a viewer and a video, decayed to a moment."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201

import numpy as np
from numba import njit

from features.decay import decay_factor, decayed
from features.layout import (
    DURATION_EDGES_MS,
    FAMILIES,
    HOUR_MS,
    RECENT,
    REGION_STRIDE,
    SESSION_GAP_MS,
    SLOT_START,
    TASTE_DIM,
)
from features.raw import PAIR_QUANTUM, VIDEO_QUANTA, VIEWER_QUANTA


@njit(cache=True)
def read_counts(counts, steps, quanta, row, now_ms, out):
    """Counters of one row as of now_ms into out [half-lives, actions]."""
    for h in range(quanta.shape[0]):
        passed = now_ms // quanta[h] - steps[row, h]
        for a in range(counts.shape[2]):
            out[h, a] = decayed(counts[row, h, a], passed)


@njit(cache=True, inline="always")
def pair_keys(videos, video, now_ms, out):
    """The key of a video in each family, -1 where it has none, into out [families]."""
    bucket = 0
    for edge in DURATION_EDGES_MS:
        if videos.length_ms[video] >= edge:
            bucket += 1
    daypart = (now_ms // (6 * HOUR_MS)) % 4
    cluster = videos.cluster[video]
    out[0] = videos.author[video]
    out[1] = videos.topic[video] if videos.topic[video] > 0 else -1
    out[2] = bucket
    out[3] = cluster if cluster > 0 else -1
    out[4] = cluster * 4 + daypart if cluster > 0 else -1
    out[5] = videos.language[video] if videos.language[video] > 0 else -1


@njit(cache=True)
def read_pairs(viewers, viewer, keys, now_ms, out):
    """Counters of viewer x key for each family into out [families, pair actions]; zeros when unknown."""
    now_step = now_ms // PAIR_QUANTUM
    for family in range(keys.shape[0]):
        out[family, :] = 0
        for slot in range(SLOT_START[family], SLOT_START[family + 1]):
            if keys[family] >= 0 and viewers.pair_key[viewer, slot] == keys[family] + 1:
                passed = now_step - viewers.pair_step[viewer, slot]
                for a in range(out.shape[1]):
                    out[family, a] = decayed(np.int64(viewers.pair_count[viewer, slot, a]), passed)
                break


@njit(cache=True)
def read_misc(viewers, viewer, videos, video, now_ms, out):
    """Session, recency and taste of a viewer towards a video into out [MISC] float64."""
    alive = viewers.session[viewer, 1] > 0 and now_ms - viewers.session[viewer, 1] <= SESSION_GAP_MS
    for i in range(4):
        out[i] = viewers.session[viewer, 2 + i] if alive else 0
    out[4] = viewers.session_ratio[viewer] if alive else 0
    last = viewers.session[viewer, 1]
    out[5] = now_ms - last if last > 0 else -1
    length = viewers.history_len[viewer]
    author, topic = 0, 0
    for i in range(max(0, length - RECENT), length):
        watched = viewers.history_video[viewer, i]
        author += videos.author[watched] == videos.author[video]
        topic += videos.topic[watched] == videos.topic[video]
    out[6], out[7] = author, topic
    dot = 0.0
    for i in range(min(TASTE_DIM, videos.embedding.shape[1])):
        dot += viewers.taste[viewer, i] * videos.embedding[video, i]
    fade = decay_factor(now_ms // PAIR_QUANTUM - viewers.taste_step[viewer])
    out[8], out[9], out[10] = dot * fade, viewers.taste_weight[viewer] * fade, length


@njit(cache=True, inline="always")
def trend_row(topic, region):
    """The row of a topic in a region."""
    return np.int64(topic) * REGION_STRIDE + region % REGION_STRIDE


@njit(cache=True)
def read_all(
    i,
    viewer,
    video,
    author,
    now_ms,
    viewers,
    videos,
    video_counts,
    author_counts,
    trend_counts,
    out,
):
    """Everything known of (viewer, video) at now_ms into row i of the blocks."""
    read_counts(video_counts.counts, video_counts.steps, VIDEO_QUANTA, video, now_ms, out.video[i])
    read_counts(author_counts.counts, author_counts.steps, VIDEO_QUANTA, author, now_ms, out.author[i])
    row = trend_row(videos.topic[video], viewers.profile[viewer, 0])
    read_counts(trend_counts.counts, trend_counts.steps, VIDEO_QUANTA, row, now_ms, out.trend[i])
    read_counts(viewers.counts, viewers.steps, VIEWER_QUANTA, viewer, now_ms, out.viewer[i])
    keys = np.empty(len(FAMILIES), np.int64)
    pair_keys(videos, video, now_ms, keys)
    read_pairs(viewers, viewer, keys, now_ms, out.pair[i])
    read_misc(viewers, viewer, videos, video, now_ms, out.misc[i])
