"""Every feature, declared once: name, dtype, default, owner, meaning and the pure function that computes it.

A function takes a `Reading` (decayed raw state and context of n (viewer, video) pairs) and gives [n] float64;
no transcendental functions, so that every machine gets the same bits. To add a feature, add one line here.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Float32, Float64
from features import layout as L
from features.raw import MATCH, OWN, Blocks

_VIDEO_HALF = {name: index for index, name in enumerate(L.VIDEO_HALF_LIVES)}
_VIEWER_HALF = {name: index for index, name in enumerate(L.VIEWER_HALF_LIVES)}
_FAMILY = {name: index for index, name in enumerate(L.FAMILIES)}
_PAIR = {name: index for index, name in enumerate(L.PAIR_ACTIONS)}
_ACTION = {name: index for index, name in enumerate(L.ACTIONS)}
_OWN = {name: index for index, name in enumerate(OWN)}
_MATCH = {name: index for index, name in enumerate(MATCH)}

# Smoothing: a rate starts at `prior` and moves as if it had `strength` earlier observations at it.
PRIOR = {
    "long_views": 0.3,
    "completions": 0.2,
    "skips": 0.4,
    "clicks": 0.5,
    "likes": 0.02,
    "comments": 0.006,
    "shares": 0.008,
    "follows": 0.005,
    "negatives": 0.005,
    "ratio": 0.4,
    "watch_s": 9.0,
    "engaged": 0.03,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """n (viewer, video) pairs at a moment: decayed counters, catalogue columns [n] and context.

    `now_ms`, `profile`, `traits`, `surface` and the blocks `viewer` and `own` have n rows, or one that holds for all.
    """

    blocks: Blocks
    now_ms: Array
    upload_ms: Array
    length_ms: Array
    language: Array
    region: Array
    cluster: Array
    profile: Array
    traits: Array
    follows: Array
    surface: Array


Compute = Callable[[Reading], Float64]


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature; `default` is what serving shows when the state behind it is unknown."""

    name: str
    owner: str
    meaning: str
    compute: Compute
    dtype: str = "float32"
    default: float = 0.0


def _smoothed(part: Array, whole: Array, unit: int, prior: float, strength: float) -> Float64:
    return (part / unit + strength * prior) / (whole / unit + strength)


def _half(block: str, name: str) -> int:
    """The place of a half-life in a block."""
    return (_VIEWER_HALF if block == "viewer" else _VIDEO_HALF)[name]


def _rate(block: str, action: str, half: str, strength: float) -> Compute:
    """Smoothed rate of an action per watch."""
    column, index = _ACTION[action], _half(block, half)

    def compute(r: Reading) -> Float64:
        counts = getattr(r.blocks, block)[:, index]
        return _smoothed(counts[:, column], counts[:, L.WATCHES], L.UNIT, PRIOR[action], strength)

    return compute


def _count(block: str, action: str, half: str) -> Compute:
    column, index = _ACTION[action], _half(block, half)
    return lambda r: np.asarray(getattr(r.blocks, block)[:, index, column] / L.UNIT)


def _pair_count(family: str) -> Compute:
    index = _FAMILY[family]
    return lambda r: np.asarray(r.blocks.pair[:, index, 0] / L.PAIR_UNIT)


def _pair_rate(family: str, action: str, strength: float) -> Compute:
    """Smoothed rate of viewer x key, pulled towards the viewer's own rate."""
    index, column = _FAMILY[family], _PAIR[action]
    own = {"ratio": L.RATIO, "long_views": L.LONG_VIEWS, "skips": L.SKIPS, "engaged": L.LIKES}[action]

    def compute(r: Reading) -> Float64:
        viewer = r.blocks.viewer[:, _VIEWER_HALF["30d"]]
        base = _smoothed(viewer[:, own], viewer[:, L.WATCHES], L.UNIT, PRIOR[action], 10.0)
        pair = r.blocks.pair[:, index]
        return (pair[:, column] / L.PAIR_UNIT + strength * base) / (pair[:, 0] / L.PAIR_UNIT + strength)

    return compute


def _own(name: str) -> Compute:
    index = _OWN[name]
    return lambda r: np.asarray(r.blocks.own[:, index])


def _match(name: str) -> Compute:
    index = _MATCH[name]
    return lambda r: np.asarray(r.blocks.match[:, index])


def _session_rate(name: str, unit: float, prior: float) -> Compute:
    index = _OWN[name]
    return lambda r: np.asarray((r.blocks.own[:, index] / unit + 3 * prior) / (r.blocks.own[:, 0] + 3))


def _since_last(r: Reading) -> Float64:
    ms = r.blocks.own[:, _OWN["since_last_ms"]]
    return np.where(ms < 0, -1.0, ms / 1000.0)


def _taste(r: Reading) -> Float64:
    dot, weight = r.blocks.match[:, _MATCH["taste_dot"]], r.blocks.own[:, _OWN["taste_weight"]]
    return np.asarray(dot / (weight + 10.0))


def _language(r: Reading) -> Float64:
    spoken = r.profile[:, 1:4]
    known = (spoken[:, 0] > 0) & (r.language > 0)
    match = (spoken[:, 0] == r.language) | (spoken[:, 1] == r.language) | (spoken[:, 2] == r.language)
    return np.where(known, match.astype(np.float64), -1.0)


def _region(r: Reading) -> Float64:
    return np.asarray(r.profile[:, 0] == r.region, np.float64)


def _duration_bucket(r: Reading) -> Float64:
    return np.searchsorted(L.DURATION_EDGES_MS, r.length_ms, side="right").astype(np.float64)


def _counters() -> list[Feature]:
    listed = []
    rates = ("long_views", "completions", "skips", "clicks", "likes", "ratio")
    for half in L.VIDEO_HALF_LIVES:
        for action in rates:
            meaning = f"{action} per watch of the video, half-life {half}, smoothed"
            listed.append(
                Feature(
                    f"video_{action}_rate_{half}",
                    "video",
                    meaning,
                    _rate("video", action, half, 10),
                )
            )
        meaning = f"decayed watches of the video, half-life {half}"
        listed.append(Feature(f"video_watches_{half}", "video", meaning, _count("video", "watches", half)))
    for action in ("comments", "shares", "follows", "negatives", "watch_s"):
        meaning = f"{action} per watch of the video, half-life 30d, smoothed"
        listed.append(Feature(f"video_{action}_rate_30d", "video", meaning, _rate("video", action, "30d", 30)))
    impressions = _count("video", "impressions", "30d")
    listed.append(Feature("video_impressions_30d", "video", "decayed impressions of the video", impressions))
    for action in ("long_views", "likes", "ratio", "follows", "negatives", "skips", "shares"):
        meaning = f"{action} per watch of the author's videos, half-life 30d, smoothed"
        listed.append(Feature(f"author_{action}_rate_30d", "author", meaning, _rate("author", action, "30d", 20)))
    for half in ("2d", "30d"):
        compute = _count("author", "watches", half)
        listed.append(Feature(f"author_watches_{half}", "author", f"decayed watches, half-life {half}", compute))
    for half in ("6h", "2d"):
        compute = _rate("trend", "ratio", half, 20)
        meaning = f"ratio per watch of the topic in the viewer's region, half-life {half}"
        listed.append(Feature(f"trend_ratio_{half}", "trend", meaning, compute))
    return listed


def _viewer() -> list[Feature]:
    listed = []
    for half in L.VIEWER_HALF_LIVES:
        for action in ("long_views", "skips", "likes", "ratio"):
            meaning = f"{action} per watch of the viewer, half-life {half}, smoothed"
            listed.append(
                Feature(
                    f"viewer_{action}_rate_{half}",
                    "viewer",
                    meaning,
                    _rate("viewer", action, half, 5),
                )
            )
        compute = _count("viewer", "watches", half)
        listed.append(Feature(f"viewer_watches_{half}", "viewer", f"decayed watches, half-life {half}", compute))
    for action in ("clicks", "comments", "shares", "follows", "negatives", "watch_s"):
        meaning = f"{action} per watch of the viewer, half-life 30d, smoothed"
        listed.append(Feature(f"viewer_{action}_rate_30d", "viewer", meaning, _rate("viewer", action, "30d", 20)))
    for family in L.FAMILIES:
        meaning = f"decayed watches of viewer x {family}"
        listed.append(Feature(f"pair_{family}_watches", "viewer", meaning, _pair_count(family)))
        for action in ("ratio", "long_views", "skips"):
            meaning = f"{action} per watch of viewer x {family}, pulled to the viewer's own rate"
            listed.append(Feature(f"pair_{family}_{action}_rate", "viewer", meaning, _pair_rate(family, action, 4)))
    for family in ("author", "topic"):
        meaning = f"explicit reactions per watch of viewer x {family}"
        listed.append(Feature(f"pair_{family}_engaged_rate", "viewer", meaning, _pair_rate(family, "engaged", 10)))
    return listed


def _session() -> list[Feature]:
    return [
        Feature("session_position", "viewer", "videos watched in this session", _own("session_views")),
        Feature("session_long_rate", "viewer", "long views in this session",
                _session_rate("session_long_views", 1, 0.3)),
        Feature("session_skip_rate", "viewer", "skips in this session", _session_rate("session_skips", 1, 0.4)),
        Feature("session_ratio", "viewer", "mean ratio in this session", _session_rate("session_ratio", L.UNIT, 0.4)),
        Feature("skip_streak", "viewer", "skips in a row up to now", _own("skip_streak")),
        Feature("since_last_s", "viewer", "seconds since the last activity, -1 for none", _since_last),
        Feature("same_author_recent", "viewer", "of the last 10 watched, by this author", _match("same_author_recent")),
        Feature("same_topic_recent", "viewer", "of the last 10 watched, on this topic", _match("same_topic_recent")),
        Feature("taste", "viewer", "content embedding x decayed taste of the viewer", _taste),
        Feature("history_len", "viewer", "watches remembered, at most 50", _own("history_len")),
        Feature("follows_author", "viewer", "1 when the viewer follows the author",
                lambda r: r.follows.astype(np.float64)),
    ]  # fmt: skip


def _context() -> list[Feature]:
    listed = [
        Feature("hour", "context", "hour of the day, UTC", lambda r: (r.now_ms // L.HOUR_MS % 24).astype(np.float64)),
        Feature("daypart", "context", "quarter of the day, UTC",
                lambda r: (r.now_ms // (6 * L.HOUR_MS) % 4).astype(np.float64)),
        Feature("surface", "context", "code of the surface it was shown on", lambda r: r.surface.astype(np.float64)),
        Feature("age_h", "video", "hours since upload", lambda r: np.maximum(r.now_ms - r.upload_ms, 0) / L.HOUR_MS),
        Feature("length_s", "video", "length in seconds", lambda r: r.length_ms / 1000.0),
        Feature("duration_bucket", "video", "bucket of the length", _duration_bucket),
        Feature("cluster", "video", "thumbnail cluster code", lambda r: r.cluster.astype(np.float64)),
        Feature("language_match", "context", "viewer speaks the video's language; -1 unknown", _language),
        Feature("region_match", "context", "video from the viewer's region", _region),
        Feature("device", "context", "device code", lambda r: r.profile[:, 4].astype(np.float64)),
        Feature("age_band", "context", "age band code", lambda r: r.profile[:, 5].astype(np.float64)),
    ]  # fmt: skip
    return listed + [Feature(f"trait_{i}", "viewer", f"code of profile trait {i}", _trait(i)) for i in range(L.TRAITS)]


def _trait(index: int) -> Compute:
    return lambda r: r.traits[:, index].astype(np.float64)


FEATURES: tuple[Feature, ...] = (*_counters(), *_viewer(), *_session(), *_context())
NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


def matrix(reading: Reading, out: Float32 | None = None) -> Float32:
    """All features of n pairs, in the order of FEATURES, each contiguous. [n, features] float32"""
    n = len(reading.upload_ms)
    out = np.empty((n, len(FEATURES)), np.float32, "F") if out is None else out
    for index, feature in enumerate(FEATURES):
        out[:, index] = feature.compute(reading)
    return out


def schema_hash() -> str:
    """Changes whenever a name, dtype, default or the raw layout changes. 16 hex digits"""
    text = repr([(f.name, f.dtype, f.default, f.owner, f.meaning) for f in FEATURES])
    text += repr((L.VIEWER_DTYPE.descr, L.COUNTS_DTYPE.descr, L.FAMILIES, L.SLOTS, sorted(PRIOR.items())))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
