"""The layout of raw feature state: which actions are counted, over which half-lives, in which units.

Counts are fixed point (1.0 = `UNIT`), held as of the time step of their last update, and decayed only by
`features.decay.decayed`, when they are read or added to. Nothing here is a float that could drift.
"""

from typing import Final

import numpy as np

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

# One event counts as UNIT; 2^40 / 2^16 = 16.7 million decayed events is where a counter saturates.
UNIT: Final = 1 << 16
SATURATION: Final = 1 << 40
PAIR_UNIT: Final = 1 << 8
PAIR_SATURATION: Final = 1 << 30

# A half-life has STEPS time steps; TABLE[k] = 2^22 * 2^(-k / STEPS), rounded.
STEPS: Final = 64
TABLE: Final = np.array([round(2**22 * 2 ** (-k / STEPS)) for k in range(STEPS)], np.int64)

ACTIONS: Final = (
    "impressions",
    "watches",
    "long_views",
    "completions",
    "skips",
    "clicks",
    "likes",
    "comments",
    "shares",
    "follows",
    "negatives",
    "watch_s",
    "ratio",
)
(
    IMPRESSIONS,
    WATCHES,
    LONG_VIEWS,
    COMPLETIONS,
    SKIPS,
    CLICKS,
    LIKES,
    COMMENTS,
    SHARES,
    FOLLOWS,
    NEGATIVES,
    WATCH_S,
    RATIO,
) = range(len(ACTIONS))

# Half-lives of the counters of videos, authors and topics in regions, and of viewers.
VIDEO_HALF_LIVES: Final = {"6h": 6 * HOUR_MS, "2d": 2 * DAY_MS, "30d": 30 * DAY_MS}
VIEWER_HALF_LIVES: Final = {"1d": DAY_MS, "30d": 30 * DAY_MS}
PAIR_HALF_LIFE_MS: Final = 14 * DAY_MS

# Lifetime totals of a video, never decayed: what the API shows.
TOTALS: Final = ("views", "likes", "comments", "shares", "saves")

# Viewer x key tables: a fixed number of slots for each family, the least recently used one is evicted.
FAMILIES: Final = ("author", "topic", "duration", "cluster", "daypart_cluster", "language")
SLOTS: Final = (32, 24, 8, 12, 32, 8)
SLOT_START: Final = np.concatenate([[0], np.cumsum(SLOTS)]).astype(np.int64)
PAIR_ACTIONS: Final = ("watches", "ratio", "long_views", "skips", "engaged")

HISTORY: Final = 50
TASTE_DIM: Final = 32
RECENT: Final = 10
SESSION_GAP_MS: Final = 30 * MINUTE_MS

# What a viewer did with a watched video, as bits of the history.
LONG_VIEW_BIT: Final = 1
LIKE_BIT: Final = 2
STRONG_BIT: Final = 4
SKIP_BIT: Final = 8
NEGATIVE_BIT: Final = 16
CLICK_BIT: Final = 32

# Operations of the replay kernel: a read, or an event.
OPERATIONS: Final = (
    "read",
    "impression",
    "watch",
    "like",
    "unlike",
    "share",
    "comment",
    "save",
    "unsave",
    "not_interested",
    "report",
    "follow",
    "unfollow",
    "hide_author",
    "block",
    "unblock",
    "unhide_author",
)
OP: Final = {name: code for code, name in enumerate(OPERATIONS)}

PROFILE: Final = ("region", "language_1", "language_2", "language_3", "device", "age_band")
TRAITS: Final = 24

# A duration bucket is the number of these lengths that a video reaches.
DURATION_EDGES_MS: Final = np.array([7, 12, 20, 32, 55, 90, 180], np.int64) * 1000
SKIP_MS: Final = 3_000
LONG_VIEW_MS: Final = 18_000
REGION_STRIDE: Final = 64

# What every packed row begins with: the schema that wrote it, a checksum of all that follows it, the offset of the
# last event in it (in the one partition that its key has), and when it was applied.
STAMP: Final = [
    ("schema", np.int64),
    ("checksum", np.int64),
    ("version", np.int64),
    ("applied_us", np.int64),
]
COUNTS_DTYPE: Final = np.dtype(
    [
        *STAMP,
        ("counts", np.int64, (len(VIDEO_HALF_LIVES), len(ACTIONS))),
        ("steps", np.int64, (len(VIDEO_HALF_LIVES),)),
        ("totals", np.int64, (len(TOTALS),)),
    ]
)
VIEWER_DTYPE: Final = np.dtype(
    [
        *STAMP,
        ("counts", np.int64, (len(VIEWER_HALF_LIVES), len(ACTIONS))),
        ("steps", np.int64, (len(VIEWER_HALF_LIVES),)),
        # start, last activity (ms), then counts in this session: views, long views, skips, skip streak
        ("session", np.int64, (6,)),
        # time of the last watch; sum of min(ratio, 1) in the session, UNIT
        ("session_ratio", np.int64),
        ("profile", np.int32, (len(PROFILE),)),
        ("traits", np.int32, (TRAITS,)),
        ("history_len", np.int64),
        ("history_video", np.int32, (HISTORY,)),
        ("history_signal", np.uint8, (HISTORY,)),
        ("history_time_ms", np.int64, (HISTORY,)),
        ("pair_key", np.int32, (int(SLOT_START[-1]),)),
        ("pair_step", np.int32, (int(SLOT_START[-1]),)),
        ("pair_count", np.int32, (int(SLOT_START[-1]), len(PAIR_ACTIONS))),
        # Sum of (ratio - expected) x content embedding, and of the weights; halved every PAIR_HALF_LIFE_MS
        ("taste", np.float64, (TASTE_DIM,)),
        ("taste_weight", np.float64),
        ("taste_step", np.int64),
    ]
)
