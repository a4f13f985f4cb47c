"""Raw feature state as the kernels take it: named tuples of arrays, without behaviour.

All times are Unix milliseconds; a "step" is 1/64 of a half-life, a "quantum" its length in milliseconds.
"""

from typing import NamedTuple

import numpy as np

from core.arrays import Array
from features.layout import PAIR_HALF_LIFE_MS, STEPS, VIDEO_HALF_LIVES, VIEWER_HALF_LIVES

VIDEO_QUANTA = np.array([h // STEPS for h in VIDEO_HALF_LIVES.values()], np.int64)
VIEWER_QUANTA = np.array([h // STEPS for h in VIEWER_HALF_LIVES.values()], np.int64)
PAIR_QUANTUM = PAIR_HALF_LIFE_MS // STEPS
# What a read gives of the viewer alone, and of the viewer towards the video.
OWN = (
    "session_views",
    "session_long_views",
    "session_skips",
    "skip_streak",
    "session_ratio",
    "since_last_ms",
    "history_len",
    "taste_weight",
)
MATCH = ("same_author_recent", "same_topic_recent", "taste_dot")


class Counts(NamedTuple):
    """Raw counters of one entity: counts [rows, half-lives, actions], steps [rows, half-lives], totals [rows, 5]."""

    counts: Array
    steps: Array
    totals: Array


class Viewers(NamedTuple):
    """Raw state of viewers, a view of VIEWER_DTYPE records by field; first dimension: viewers."""

    counts: Array
    steps: Array
    session: Array
    session_ratio: Array
    profile: Array
    history_len: Array
    history_video: Array
    history_signal: Array
    history_time_ms: Array
    pair_key: Array
    pair_step: Array
    pair_count: Array
    taste: Array
    taste_weight: Array
    taste_step: Array


class Videos(NamedTuple):
    """Catalogue columns that the kernels need, by row."""

    author: Array
    topic: Array
    cluster: Array
    language: Array
    length_ms: Array
    embedding: Array


class Operations(NamedTuple):
    """An ordered list of reads and events; `video` -1 where an event names only an author; `region` is the viewer's."""

    time_ms: Array
    op: Array
    viewer: Array
    video: Array
    author: Array
    play_ms: Array
    length_ms: Array
    long_view: Array
    click: Array
    region: Array


class Histories(NamedTuple):
    """The viewer's last watches at each read, oldest first: video, signal bits, time_ms [reads, HISTORY], length."""

    video: Array
    signal: Array
    time_ms: Array
    length: Array


class Blocks(NamedTuple):
    """What reads return, decayed to the time of the read; first dimension: reads. `viewer` and `own` depend on the
    viewer and the time alone, so one query's reads share a single row of them."""

    video: Array
    author: Array
    trend: Array
    pair: Array
    match: Array
    viewer: Array
    own: Array
