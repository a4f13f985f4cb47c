"""What a feed request answers, and what explains it, as structs that encode to JSON."""

from collections.abc import Mapping, Sequence

import msgspec


class UserView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The author of a video."""

    user_id: str
    username: str = ""
    display_name: str = ""
    avatar_url: str = ""
    verified: bool = False


class UrlsView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Playlists by height in pixels."""

    p360: str = msgspec.field(name="360p", default="")
    p720: str = msgspec.field(name="720p", default="")
    p1080: str = msgspec.field(name="1080p", default="")


class StatsView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Public counts of a video."""

    views: int = 0
    likes: int = 0
    comments: int = 0
    shares: int = 0


class InteractionView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How the asking viewer stands to a video."""

    liked: bool = False
    saved: bool = False


class MusicView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The music of a video; empty strings where it has none."""

    music_id: str = ""
    title: str = ""
    artist: str = ""


class VideoView(msgspec.Struct, frozen=True, kw_only=True):
    """One video of a page; `created_at` is Unix ms, `duration_sec` seconds."""

    video_id: str
    user: UserView
    title: str
    description: str
    category: str
    hashtags: Sequence[str]
    created_at: int
    urls: UrlsView
    thumbnail_url: str
    duration_sec: float
    stats: StatsView
    user_interaction: InteractionView
    music: MusicView


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a feed.

    `cursor` continues this session (None at its end), `slate_id` is what impressions must name, `all_seen` says that
    nothing unseen is left: then the videos, if any, were seen before, longest ago. `preload_next_at` is the number of
    the video at which to ask for the next page (None where there is none), `degraded` lists the parts that were left
    out, `made_up` the response fields that an importer had to fill, such as "user.username".
    """

    videos: Sequence[VideoView]
    next_page: int | None
    has_more: bool
    cursor: str | None
    slate_id: str
    all_seen: bool = False
    preload_next_at: int | None = None
    degraded: Sequence[str] = ()
    made_up: Sequence[str] = ()


class FollowingPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the videos of followed authors, newest first.

    `next_cursor` asks for what is older (None at the end), `slate_id` is what impressions must name, `degraded` lists
    the parts that were left out, `made_up` the response fields that an importer had to fill.
    """

    videos: Sequence[VideoView]
    next_cursor: str | None
    has_more: bool
    slate_id: str = ""
    degraded: Sequence[str] = ()
    made_up: Sequence[str] = ()


class TrendingVideo(VideoView, frozen=True, kw_only=True):
    """A video of a board with its score, in points."""

    trending_score: int


class TrendingPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a board, best first.

    `next_cursor` goes on in this board, `next_page` is the number of the page that follows (None at the end, and after
    a cursor); `as_of` is when the board was made, Unix ms (0: none was). `slate_id` is what impressions must name (""
    where nobody is known to ask). `degraded` lists the parts that were left out, `made_up` the response fields that an
    importer had to fill.
    """

    videos: Sequence[TrendingVideo]
    next_cursor: str | None
    next_page: int | None
    has_more: bool
    as_of: int
    slate_id: str = ""
    degraded: Sequence[str] = ()
    made_up: Sequence[str] = ()


class Term(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One head's share in the value: its calibrated prediction, its weight and what the two add."""

    prediction: float
    weight: float
    term: float


class ExplainedVideo(msgspec.Struct, frozen=True, kw_only=True):
    """Why a video is where it is; `value_rank` is its rank before re-ranking, which `moved` it; `adjustments`: what
    each scorer after the value added to it (the viewer's reactions, little watched videos, freshness, fatigue, boosts,
    the Thompson draw); `drawn` and `propensity`: whether its place was, and P(video | those above it)."""

    video_id: str
    position: int
    source: str
    sources: Sequence[str]
    value: float
    value_rank: int
    terms: Mapping[str, Term]
    features: Mapping[str, float]
    moved: int
    adjustments: Mapping[str, float] = {}
    drawn: bool = False
    propensity: float = 1.0
    pinned: bool = False


class DroppedVideo(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A candidate that was not served, and the stage that dropped it."""

    video_id: str
    stage: str
    kind: str


class StageView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One stage of the surface."""

    kind: str
    name: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How a slate came to be; `dropped` can only be filled where `fidelity` is "full".

    `policy` is "slots" where some places were drawn, "plackett_luce" where all were, from a pool of `pool` videos by
    softmax(score / `temperature`); "" where nothing was random.
    """

    slate_id: str
    viewer_id: str
    time_ms: int
    bundle_id: str
    fidelity: str
    videos: Sequence[ExplainedVideo]
    dropped: Sequence[DroppedVideo] = ()
    stages: Sequence[StageView] = ()
    policy: str = ""
    pool: int = 0
    temperature: float = 0.0
