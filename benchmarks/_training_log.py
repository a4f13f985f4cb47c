"""A synthetic log of watches and its catalogue, of any size, for the benchmark of training."""

import numpy as np

from candidate_gen.interactions import CLICK, LIKE, LONG_VIEW, SKIP, Interactions
from core.video_table import VideoTable
from features.dataset import Rows
from features.definitions import FEATURES
from features.layout import HISTORY
from features.raw import Histories

START_MS, DAY_MS, DAYS = 1_700_000_000_000, 86_400_000, 30
EACH = 200  # watches of a viewer
_SIGNALS = np.array([0, CLICK, LONG_VIEW | CLICK, LONG_VIEW | CLICK | LIKE, SKIP], np.uint8)
_SHARES = (0.2, 0.15, 0.3, 0.02, 0.33)


def catalogue(videos: int) -> VideoTable:
    """Videos of a thousand authors and forty topics, published over the log's span and before."""
    rng, table = np.random.default_rng(5), VideoTable()
    words = {
        "author": [f"a{n % 1000}" for n in range(videos)],
        "topic": [f"t{n % 40}" for n in range(videos)],
        "language": ["en"] * videos,
        "region": [f"r{n % 5}" for n in range(videos)],
        "cluster": [""] * videos,
    }
    length = rng.integers(5_000, 120_000, videos)
    upload = START_MS + rng.integers(-30 * DAY_MS, DAYS * DAY_MS, videos)
    none = np.zeros((videos, 0), np.float32)
    table.extend([f"v{n}" for n in range(videos)], words, length, upload, ["public"] * videos, none)
    return table


def synthetic_watches(events: int, videos: int, seed: int) -> Interactions:
    """So many watches of popular and less popular videos, `EACH` of a viewer, over thirty days."""
    rng, viewers = np.random.default_rng(seed), max(1, events // EACH)
    indptr = np.linspace(0, events, viewers + 1).astype(np.int64)
    video = (rng.random(events, np.float32) ** 3 * videos).astype(np.int32)
    time_ms = np.empty(events, np.int64)
    for first in range(0, viewers, 10_000):
        span = slice(indptr[first], indptr[min(first + 10_000, viewers)])
        who = np.searchsorted(indptr, np.arange(span.start, span.stop), "right")
        drawn = START_MS + rng.integers(0, DAYS * DAY_MS, len(who))
        time_ms[span] = drawn[np.lexsort((drawn, who))]
    signal = _SIGNALS[np.searchsorted(np.cumsum(_SHARES)[:-1], rng.random(events, np.float32))]
    profile = rng.integers(0, 8, (viewers, 3)).astype(np.int32)
    return Interactions(indptr, video, time_ms, signal, profile, (8, 8, 8))


def head_rows(watches: Interactions, count: int) -> Rows:
    """As many impressions, each with random features and the history of its viewer, as a replay leaves them."""
    rng = np.random.default_rng(4)
    at = np.sort(rng.permutation(len(watches))[:count])
    viewer, now = watches.viewer_of(at), watches.time_ms[at]
    past = Histories(
        np.zeros((count, HISTORY), np.int32), np.zeros((count, HISTORY), np.uint8),
        np.zeros((count, HISTORY), np.int64),
        np.minimum(at - watches.indptr[viewer], HISTORY),
    )  # fmt: skip
    for row, (end, length) in enumerate(zip(at, past.length, strict=True)):
        for kept, column in zip(past[:3], (watches.video, watches.signal, watches.time_ms), strict=True):
            kept[row, :length] = column[end - length : end]
    zeros = np.zeros(count, np.int32)
    label = ((watches.signal[at] & LONG_VIEW) > 0).astype(np.float32)
    features = rng.normal(size=(count, len(FEATURES))).astype(np.float32)
    return Rows(
        viewer,
        watches.video[at],
        zeros,
        now,
        zeros,
        zeros,
        zeros,
        zeros,
        zeros,
        {"long_view": label},
        features,
        past,
        0,
    )
