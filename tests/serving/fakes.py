"""In-memory ports and parts for tests of the edge and of the intake."""

from dataclasses import dataclass, field

from core.errors import CursorError
from core.ports import Appended, Record
from core.slate import Slate
from feeds.page import (
    Explanation,
    FeedPage,
    FollowingPage,
    InteractionView,
    MusicView,
    StatsView,
    TrendingPage,
    TrendingVideo,
    UrlsView,
    UserView,
    VideoView,
)

NOW_MS = 1_700_000_000_000


class HandClock:
    """A clock that stands until a test moves it."""

    def __init__(self, now_ms=NOW_MS):
        self.now_ms = now_ms

    def __call__(self):
        return self.now_ms


class MemoryLog:
    """An EventLog that keeps its events in a list; set `outage` to make it refuse."""

    def __init__(self):
        self.events = []
        self.offsets = {}
        self.appends = 0
        self.outage = None

    async def append(self, events):
        if self.outage:
            raise self.outage
        self.appends += 1
        placed = []
        for event in events:
            known = event.event_id in self.offsets
            if not known:
                self.events.append(event)
                self.offsets[event.event_id] = len(self.events)
            placed.append(Appended(self.offsets[event.event_id], known))
        return placed

    async def read(self, after, limit):
        chosen = self.events[after : after + limit]
        return [Record(after + number, event) for number, event in enumerate(chosen, start=1)]

    async def end(self):
        return len(self.events)

    async def committed(self, group):
        return 0

    async def commit(self, group, offset):
        pass


class MemorySlates:
    """A SlateStore that counts how often it is asked."""

    def __init__(self, *slates):
        self.slates = {slate.slate_id: slate for slate in slates}
        self.asked = 0

    async def append(self, slate):
        self.slates[slate.slate_id] = slate

    async def detail(self, detail):
        pass

    async def get(self, slate_id):
        self.asked += 1
        return self.slates.get(slate_id)

    async def get_detail(self, slate_id):
        return None

    async def latest(self, viewer_id, limit):
        return []


def slate(slate_id="s1", viewer_id="ann", videos=("v1", "v2"), propensities=(0.5, 0.25)):
    return Slate(
        slate_id=slate_id,
        viewer_id=viewer_id,
        session_id="session",
        surface="for_you",
        time_ms=NOW_MS - 1000,
        page=0,
        seed=1,
        video_ids=videos,
        sources=("popular",) * len(videos),
        propensities=propensities,
    )


def video(video_id="v1"):
    return VideoView(
        video_id=video_id,
        user=UserView(user_id="u1", username="bob", display_name="Bob", avatar_url="a", verified=True),
        title="Title",
        description="Text",
        category="dance",
        hashtags=["dance"],
        created_at=NOW_MS,
        urls=UrlsView(p360="360", p720="720", p1080="1080"),
        thumbnail_url="thumb",
        duration_sec=45,
        stats=StatsView(views=4, likes=3, comments=2, shares=1),
        user_interaction=InteractionView(liked=True, saved=False),
        music=MusicView(music_id="m1", title="Song", artist="Artist"),
    )


@dataclass
class FakeFeed:
    """Answers one page, and remembers what it was asked; set `failure` to make it raise."""

    asked: list = field(default_factory=list)
    failure: Exception | None = None
    degraded: tuple = ()

    async def page(self, viewer_id, *, page, limit, cursor, device):
        self.asked.append((viewer_id, page, limit, cursor, device))
        if self.failure:
            raise self.failure
        if cursor == "tampered":
            raise CursorError("The cursor was changed; start again without it.")
        return FeedPage(
            videos=[video()],
            next_page=1,
            has_more=True,
            cursor="next",
            slate_id="s1",
            degraded=self.degraded,
            made_up=["user.username"],
        )

    async def explain(self, slate_id):
        if slate_id != "s1":
            return None
        return Explanation(
            slate_id="s1",
            viewer_id="ann",
            time_ms=NOW_MS,
            bundle_id="b1",
            fidelity="features",
            videos=[],
        )


@dataclass
class FakeFollowing:
    """Answers one page, and remembers what it was asked."""

    asked: list = field(default_factory=list)
    degraded: tuple = ()

    async def page(self, viewer_id, *, page_size, cursor):
        self.asked.append((viewer_id, page_size, cursor))
        if cursor == "tampered":
            raise CursorError("The cursor was changed; start again without it.")
        return FollowingPage(videos=[video()], next_cursor="next", has_more=True, degraded=self.degraded)


@dataclass
class FakeTrending:
    """Answers one page, and remembers what it was asked."""

    asked: list = field(default_factory=list)
    degraded: tuple = ()

    async def page(self, viewer_id, key, *, page, limit, cursor):
        self.asked.append((viewer_id, key, page, limit, cursor))
        if cursor == "tampered":
            raise CursorError("The cursor was changed; start again without it.")
        shown = video()
        fields = {name: getattr(shown, name) for name in shown.__struct_fields__}
        return TrendingPage(
            videos=[TrendingVideo(**fields, trending_score=1_000)], next_cursor="next", next_page=1, has_more=True,
            as_of=NOW_MS, degraded=self.degraded,
        )  # fmt: skip
