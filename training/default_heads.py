"""The heads that are trained unless told otherwise."""

import math
from collections.abc import Mapping
from typing import Final

from ranking.head_config import HeadConfig

_COMMON = ("long_view", "click", "skip")
_RARE = ("like", "comment", "share", "follow", "negative")
_ENGAGED = ("pair_author_engaged_rate", "pair_topic_engaged_rate")
# What a rare action's chance may only rise with: how often it was taken before, with this video or author or by this
# viewer. A tree sees so few of them that it would else find the opposite in places.
RISING: Final[Mapping[str, tuple[str, ...]]] = {
    "like": (
        "video_likes_rate_6h", "video_likes_rate_2d", "video_likes_rate_30d", "author_likes_rate_30d",
        "viewer_likes_rate_1d", "viewer_likes_rate_30d", *_ENGAGED,
    ),
    "comment": ("video_comments_rate_30d", "viewer_comments_rate_30d", *_ENGAGED),
    "share": ("video_shares_rate_30d", "author_shares_rate_30d", "viewer_shares_rate_30d", *_ENGAGED),
    "follow": ("video_follows_rate_30d", "author_follows_rate_30d", "viewer_follows_rate_30d"),
    "negative": ("video_negatives_rate_30d", "author_negatives_rate_30d", "viewer_negatives_rate_30d"),
}  # fmt: skip


def leaves_for(rows: int) -> int:
    """Leaves of a common head's tree, by how many rows it learns from: 8 up to 26 thousand, 31 from 400 thousand on.

    More than the rows can tell apart, and a tree learns the noise of the day before.
    """
    return min(31, max(8, round(math.sqrt(rows) / 20)))


def default_heads(rounds: int, seed: int, feature_share: float, members: int, rows: int) -> tuple[HeadConfig, ...]:
    """The heads of every action, the mean watch ratio, and the watch time four ways: its median (absolute error), its
    mean (squared error, of a target clipped at 99.9%), its order (log seconds), and its standing among watches of
    videos of that length, which owes the length nothing.

    Heads of rare actions get small trees over many rows: with large ones they learn noise, which the value model
    then multiplies by their large weights.
    """
    shared = {
        "rounds": rounds, "seed": seed, "learning_rate": 0.05, "feature_share": feature_share, "row_share": 0.8,
        "early_stopping_rounds": 40, "members": members,
    }  # fmt: skip
    common = shared | {"leaves": leaves_for(rows), "min_rows_in_leaf": 100}
    rare = shared | {"leaves": 6, "min_rows_in_leaf": 200}
    heads = [HeadConfig(name=name, **common) for name in _COMMON]
    heads += [HeadConfig(name=name, monotone=dict.fromkeys(RISING[name], 1), **rare) for name in _RARE]
    heads.append(HeadConfig(name="watch_ratio", objective="mean", **common))
    # The median learns from signs alone, so its trees need more leaves to move as far.
    median = common | {"leaves": 31}
    heads.append(HeadConfig(name="watch_time", objective="median", **median))
    # Seconds vary as their mean grows; squared errors would make the few longest watches the whole lesson.
    heads.append(HeadConfig(name="watch_mean", label="watch_time", objective="tweedie", clip_quantile=0.999, **common))
    heads.append(HeadConfig(name="watch_rank", label="watch_time", objective="mean", scale="log", **common))
    heads.append(HeadConfig(name="watch_standing", objective="mean", scale="standing", **common))
    return tuple(heads)
