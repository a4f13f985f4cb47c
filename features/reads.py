"""Reads of raw state: what is known of a viewer and a video, decayed to a moment."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201

import numpy as np
from numba import njit

from features.decay import decay_factor, decay_parts, faded
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
        factor, shift = decay_parts(now_ms // quanta[h] - steps[row, h])
        for a in range(counts.shape[2]):
            out[h, a] = faded(counts[row, h, a], factor, shift)


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
                factor, shift = decay_parts(now_step - viewers.pair_step[viewer, slot])
                for a in range(out.shape[1]):
                    out[family, a] = faded(viewers.pair_count[viewer, slot, a], factor, shift)
                break


@njit(cache=True)
def read_own(viewers, viewer, now_ms, out):
    """Session, recency and weight of the taste of a viewer into out [OWN] float64."""
    last = viewers.session[viewer, 1]
    alive = last > 0 and now_ms - last <= SESSION_GAP_MS
    for i in range(4):
        out[i] = viewers.session[viewer, 2 + i] if alive else 0
    out[4] = viewers.session_ratio[viewer] if alive else 0
    out[5] = now_ms - last if last > 0 else -1
    out[6] = viewers.history_len[viewer]
    out[7] = viewers.taste_weight[viewer] * decay_factor(now_ms // PAIR_QUANTUM - viewers.taste_step[viewer])


@njit(cache=True)
def read_match(viewers, viewer, videos, video, now_ms, out):
    """Recent watches like the video, and taste towards it, into out [MATCH] float64."""
    length = viewers.history_len[viewer]
    author, topic = 0, 0
    for i in range(max(0, length - RECENT), length):
        watched = viewers.history_video[viewer, i]
        if watched >= videos.author.shape[0]:
            continue  # who counted it was further on in the catalogue than who reads
        author += videos.author[watched] == videos.author[video]
        topic += videos.topic[watched] == videos.topic[video]
    dot = 0.0
    for i in range(min(TASTE_DIM, videos.embedding.shape[1])):
        dot += viewers.taste[viewer, i] * videos.embedding[video, i]
    fade = decay_factor(now_ms // PAIR_QUANTUM - viewers.taste_step[viewer])
    out[0], out[1], out[2] = author, topic, dot * fade


@njit(cache=True, inline="always")
def trend_row(topic, region):
    """The row of a topic in a region."""
    return np.int64(topic) * REGION_STRIDE + region % REGION_STRIDE


@njit(cache=True)
def read_viewer(i, viewer, now_ms, viewers, out):
    """Everything known of the viewer alone at now_ms into row i of the blocks."""
    read_counts(viewers.counts, viewers.steps, VIEWER_QUANTA, viewer, now_ms, out.viewer[i])
    read_own(viewers, viewer, now_ms, out.own[i])


@njit(cache=True)
def read_video(
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
    """Everything known of the video, and of the viewer towards it, at now_ms into row i of the blocks."""
    read_counts(video_counts.counts, video_counts.steps, VIDEO_QUANTA, video, now_ms, out.video[i])
    read_counts(author_counts.counts, author_counts.steps, VIDEO_QUANTA, author, now_ms, out.author[i])
    row = trend_row(videos.topic[video], viewers.profile[viewer, 0])
    read_counts(trend_counts.counts, trend_counts.steps, VIDEO_QUANTA, row, now_ms, out.trend[i])
    keys = np.empty(len(FAMILIES), np.int64)
    pair_keys(videos, video, now_ms, keys)
    read_pairs(viewers, viewer, keys, now_ms, out.pair[i])
    read_match(viewers, viewer, videos, video, now_ms, out.match[i])
