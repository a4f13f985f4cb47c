"""The plain way's features: Python numbers from the same raw state, one candidate at a time."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from core.query import Query
from core.video_table import PUBLIC
from features import layout as L
from features.definitions import PRIOR
from features.raw import PAIR_QUANTUM, VIDEO_QUANTA, VIEWER_QUANTA
from features.state import FeatureState
from feeds.bundle import Bundle
from feeds.tower_pair import tower_profile

POSITIVE = L.LONG_VIEW_BIT | L.LIKE_BIT | L.STRONG_BIT
NEGATIVE = L.SKIP_BIT | L.NEGATIVE_BIT
RATES = ("long_views", "completions", "skips", "clicks", "likes", "ratio")
COLUMN = {name: at for at, name in enumerate(L.ACTIONS)}
FACTORS, EDGES = L.TABLE.tolist(), L.DURATION_EDGES_MS.tolist()
Counters = tuple[list[list[int]], list[int]]


@dataclass(slots=True)
class Video:
    """A video with its own, its author's and its topics' counters."""

    row: int
    author: int
    topic: int
    language: int
    region: int
    cluster: int
    length_ms: int
    upload_ms: int
    public: bool
    counters: Counters
    author_counters: Counters
    trends: list[Counters]


def videos_of(state: FeatureState) -> list[Video]:
    """The whole catalogue as objects."""
    table = state.table
    own, authors, trends = (listed(c.records) for c in (state.videos, state.authors, state.trends))
    columns = ("author", "topic", "language", "region", "cluster", "length_ms", "upload_ms")
    rows = zip(*(getattr(table, name).tolist() for name in columns), strict=True)
    return [
        Video(
            row, *values, bool(table.visibility[row] == PUBLIC), own[row], authors[values[0]],
            trends[values[1] * L.REGION_STRIDE : (values[1] + 1) * L.REGION_STRIDE],
        )
        for row, values in enumerate(rows)
    ]  # fmt: skip


def listed(records: np.ndarray) -> list[Counters]:
    """Counter records as Python lists."""
    return list(zip(records["counts"].tolist(), records["steps"].tolist(), strict=True))


def decayed(values: list[int], steps: int) -> list[int]:
    """Fixed-point values after `steps` time steps."""
    if steps <= 0:
        return values
    factor, shift = FACTORS[steps % L.STEPS], steps // L.STEPS
    if shift > 45:
        return [0] * len(values)
    half = (1 << shift) >> 1
    return [(((value * factor + (1 << 21)) >> 22) + half) >> shift for value in values]


def smoothed(part: float, whole: float, unit: int, prior: float, strength: float) -> float:
    """A rate that starts at its prior."""
    return (part / unit + strength * prior) / (whole / unit + strength)


def rate(counts: list[int], action: str, strength: float) -> float:
    """Smoothed rate of an action per watch."""
    return smoothed(counts[COLUMN[action]], counts[L.WATCHES], L.UNIT, PRIOR[action], strength)


class Viewer:
    """A viewer's state as Python values, with what depends on no video computed once."""

    def __init__(self, query: Query) -> None:
        record = query.viewer_state[0]
        self.now_ms = query.now_ms
        self.seen, self.served = set(query.seen.tolist()), set(query.served.tolist())
        self.follows = set(query.follows.tolist())
        self.blocked, self.hidden = set(query.blocked_authors.tolist()), set(query.hidden_authors.tolist())
        length = int(record["history_len"])
        names = ("history_video", "history_signal", "history_time_ms")
        self.history_arrays = tuple(record[name][:length] for name in names)
        self.history = list(zip(*(part.tolist() for part in self.history_arrays[:2]), strict=True))
        self.disliked = [row for row, signal in self.history if signal & L.NEGATIVE_BIT]
        self.session = self._session(record["history_time_ms"][:length].tolist())
        self.liked = [row for row, signal in self.history[self.session :] if signal & (L.LIKE_BIT | L.STRONG_BIT)]
        self.said_disliked, self.said_liked = query.disliked.tolist(), query.liked.tolist()
        self.positive = [row for row, signal in self.history if signal & POSITIVE]
        self.skipped = [row for row, signal in self.history if not signal & POSITIVE and signal & NEGATIVE]
        self.profile, self.traits = record["profile"].tolist(), record["traits"].tolist()
        self.tower_codes = tower_profile(record["profile"], record["traits"])
        self.taste, self.taste_weight = record["taste"], float(record["taste_weight"])
        self.fade = 2.0 ** -((self.now_ms // PAIR_QUANTUM - int(record["taste_step"])) // L.STEPS)
        self.fade *= FACTORS[(self.now_ms // PAIR_QUANTUM - int(record["taste_step"])) % L.STEPS] / 4194304.0
        self.pairs = self._pairs(record)
        quanta = VIEWER_QUANTA.tolist()
        steps, counts = record["steps"].tolist(), record["counts"].tolist()
        self.counts = [decayed(c, self.now_ms // q - s) for c, q, s in zip(counts, quanta, steps, strict=True)]
        self.own = self._own_features(record["session"].tolist(), int(record["session_ratio"]), length)
        self.lent: list[dict[int, float]] | None = None

    def _pairs(self, record: np.ndarray) -> list[dict[int, tuple[int, list[int]]]]:
        keys, steps, counts = (record[name].tolist() for name in ("pair_key", "pair_step", "pair_count"))
        starts = L.SLOT_START.tolist()
        return [
            {keys[slot] - 1: (steps[slot], counts[slot]) for slot in range(start, stop) if keys[slot]}
            for start, stop in pairwise(starts)
        ]

    def _session(self, times: list[int]) -> int:
        """Where this session begins in the history."""
        begin = 0
        for at, (time_ms, later_ms) in enumerate(zip(times, [*times[1:], self.now_ms], strict=True)):
            if later_ms - time_ms > L.SESSION_GAP_MS:
                begin = at + 1
        return begin

    def _own_features(self, session: list[int], session_ratio: int, length: int) -> dict[str, float]:
        f: dict[str, float] = {}
        for half, counts in zip(L.VIEWER_HALF_LIVES, self.counts, strict=True):
            for action in ("long_views", "skips", "likes", "ratio"):
                f[f"viewer_{action}_rate_{half}"] = rate(counts, action, 5)
            f[f"viewer_watches_{half}"] = counts[L.WATCHES] / L.UNIT
        for action in ("clicks", "comments", "shares", "follows", "negatives", "watch_s"):
            f[f"viewer_{action}_rate_30d"] = rate(self.counts[1], action, 20)
        last = session[1]
        if not (last > 0 and self.now_ms - last <= L.SESSION_GAP_MS):
            session, session_ratio = [0] * 6, 0
        f["session_position"], f["skip_streak"], f["history_len"] = session[2], session[5], length
        f["session_long_rate"] = (session[3] + 3 * 0.3) / (session[2] + 3)
        f["session_skip_rate"] = (session[4] + 3 * 0.4) / (session[2] + 3)
        f["session_ratio"] = (session_ratio / L.UNIT + 3 * 0.4) / (session[2] + 3)
        f["since_last_s"] = (self.now_ms - last) / 1000.0 if 0 < last <= self.now_ms else -1.0
        f["hour"] = self.now_ms // L.HOUR_MS % 24
        f["daypart"] = self.now_ms // (6 * L.HOUR_MS) % 4
        f["surface"], f["device"], f["age_band"] = 1, self.profile[4], self.profile[5]
        return f | {f"trait_{at}": code for at, code in enumerate(self.traits)}


def candidate_features(viewer: Viewer, video: Video, tower: float, bundle: Bundle) -> dict[str, float]:
    """Every feature of the ranker by name."""
    f = dict(viewer.own)
    add_counters(f, viewer, video)
    add_pairs(f, viewer, video)
    add_context(f, viewer, video)
    add_matches(f, viewer, video, bundle)
    f["tower_score"], f["tower_bias"] = tower, float(bundle.towers.vectors[video.row, -1])
    add_history(f, viewer, video, bundle)
    return f


def add_counters(f: dict[str, float], viewer: Viewer, video: Video) -> None:
    """Rates and counts of the video, its author, and its topic in the viewer's region."""
    now, quanta = viewer.now_ms, VIDEO_QUANTA.tolist()
    for at, half in enumerate(L.VIDEO_HALF_LIVES):
        counts = decayed(video.counters[0][at], now // quanta[at] - video.counters[1][at])
        for action in RATES:
            f[f"video_{action}_rate_{half}"] = rate(counts, action, 10)
        f[f"video_watches_{half}"] = counts[L.WATCHES] / L.UNIT
    for action in ("comments", "shares", "follows", "negatives", "watch_s"):
        f[f"video_{action}_rate_30d"] = rate(counts, action, 30)
    f["video_impressions_30d"] = counts[L.IMPRESSIONS] / L.UNIT
    author, steps = video.author_counters
    two_days, month = (decayed(author[at], now // quanta[at] - steps[at]) for at in (1, 2))
    for action in ("long_views", "likes", "ratio", "follows", "negatives", "skips", "shares"):
        f[f"author_{action}_rate_30d"] = rate(month, action, 20)
    f["author_watches_2d"], f["author_watches_30d"] = two_days[L.WATCHES] / L.UNIT, month[L.WATCHES] / L.UNIT
    trend, steps = video.trends[viewer.profile[0] % L.REGION_STRIDE]
    for at, half in ((0, "6h"), (1, "2d")):
        f[f"trend_ratio_{half}"] = rate(decayed(trend[at], now // quanta[at] - steps[at]), "ratio", 20)


def pair_keys(video: Video, now_ms: int) -> tuple[int, ...]:
    """The video's key in each family, -1 where it has none."""
    bucket = sum(video.length_ms >= edge for edge in EDGES)
    daypart = now_ms // (6 * L.HOUR_MS) % 4
    cluster = video.cluster
    known = cluster > 0
    return (
        video.author, video.topic or -1, bucket, cluster if known else -1,
        cluster * 4 + daypart if known else -1, video.language or -1,
    )  # fmt: skip


def add_pairs(f: dict[str, float], viewer: Viewer, video: Video) -> None:
    """Counts of viewer x key, as rates pulled towards the viewer's own."""
    unit, month, now_step = L.PAIR_UNIT, viewer.counts[1], viewer.now_ms // PAIR_QUANTUM
    own = {action: rate(month, action, 10.0) for action in ("ratio", "long_views", "skips")}
    own["engaged"] = smoothed(month[L.LIKES], month[L.WATCHES], L.UNIT, PRIOR["engaged"], 10.0)
    for family, slots, key in zip(L.FAMILIES, viewer.pairs, pair_keys(video, viewer.now_ms), strict=True):
        step, raw = slots.get(key, (0, None))
        watches, ratio, long_views, skips, engaged = decayed(raw, now_step - step) if raw else (0, 0, 0, 0, 0)
        f[f"pair_{family}_watches"] = watches / unit
        for action, count in (("ratio", ratio), ("long_views", long_views), ("skips", skips)):
            f[f"pair_{family}_{action}_rate"] = (count / unit + 4 * own[action]) / (watches / unit + 4)
        if family in ("author", "topic"):
            f[f"pair_{family}_engaged_rate"] = (engaged / unit + 10 * own["engaged"]) / (watches / unit + 10)


def add_context(f: dict[str, float], viewer: Viewer, video: Video) -> None:
    """What the catalogue says, beside the viewer's profile."""
    f["age_h"] = max(viewer.now_ms - video.upload_ms, 0) / L.HOUR_MS
    f["length_s"], f["cluster"] = video.length_ms / 1000.0, video.cluster
    f["duration_bucket"] = sum(video.length_ms >= edge for edge in EDGES)
    spoken = viewer.profile[1:4]
    f["language_match"] = float(video.language in spoken) if any(spoken) and video.language else -1.0
    f["region_match"] = float(viewer.profile[0] == video.region)
    f["follows_author"] = float(video.author in viewer.follows)


def add_matches(f: dict[str, float], viewer: Viewer, video: Video, bundle: Bundle) -> None:
    """Recent watches like this one, and the decayed taste."""
    table, recent = bundle.table, viewer.history[-L.RECENT :]
    f["same_author_recent"] = sum(int(table.author[row]) == video.author for row, _ in recent)
    f["same_topic_recent"] = sum(int(table.topic[row]) == video.topic for row, _ in recent)
    dot = float(viewer.taste @ table.embedding[video.row, : L.TASTE_DIM].astype(np.float64))
    f["taste"] = dot * viewer.fade / (viewer.taste_weight * viewer.fade + 10.0)


def add_history(f: dict[str, float], viewer: Viewer, video: Video, bundle: Bundle) -> None:
    """What the watched videos lend their neighbours, and likeness of content."""
    near, content, row = bundle.neighbours, bundle.unit_content, video.row
    if viewer.lent is None:
        viewer.lent = [
            dict(zip(near.rows[watched].tolist(), near.scores[watched].tolist(), strict=True))
            for watched in viewer.positive
        ]
    f["neighbour_score"] = sum(lent.get(row, 0.0) for lent in viewer.lent)
    liked = (content[viewer.positive] * content[row]).sum(axis=1, dtype=np.float64).tolist()
    skipped = (content[viewer.skipped] * content[row]).sum(axis=1, dtype=np.float64).tolist()
    f["content_best_positive"] = max(liked, default=-1.0)
    f["content_mean_positive"] = sum(liked) / max(len(liked), 1)
    f["content_mean_skipped"] = sum(skipped) / max(len(skipped), 1)
