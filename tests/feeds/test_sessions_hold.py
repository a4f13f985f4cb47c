"""Random viewers over two processes with caches lost, processes restarted and late workers: every page is the one that
a slow, obvious oracle expects, so nothing repeats, nothing leaks, no page changes and every reaction counts at once."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from core.events import (
    Block,
    Follow,
    HideAuthor,
    Impression,
    Like,
    NotInterested,
    Unblock,
    Unfollow,
    UnhideAuthor,
    Unlike,
    VideoRemoved,
    Watch,
)  # fmt: skip
from features.layout import DAY_MS, MINUTE_MS
from feeds.ranked_remainder import RemainderConfig
from tests.feeds.test_ranked_remainder import Cutting
from tests.feeds.toy_cluster import KINDS
from tests.feeds.toy_feed import ids

VIEWERS, STEPS, VIDEOS, AUTHORS, LIMIT = 6, 45, 240, 12, 5
HALF_HOUR_MS = 30 * MINUTE_MS


@dataclass
class Life:
    """What a viewer did and was shown, in lists that an oracle can read."""

    name: str
    served: list = field(default_factory=list)  # (time, session, video)
    seen: dict = field(default_factory=dict)
    watches: list = field(default_factory=list)  # [time, video, skipped]
    liked: set = field(default_factory=set)
    disliked: set = field(default_factory=set)
    follows: set = field(default_factory=set)
    banned: dict = field(default_factory=lambda: {"hidden": set(), "blocked": set(), "blocked_by": set()})
    pages: dict = field(default_factory=dict)  # (session, page) -> videos as served
    cursors: list = field(default_factory=list)
    session: int = 0
    last_ms: int = 0


class Story:
    """The cluster, its viewers, and the oracle."""

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.cluster = Cutting(folder, RemainderConfig(videos=40), videos=VIDEOS, authors=AUTHORS)
        self.lives = [Life(f"u{number}") for number in range(VIEWERS)]
        self.removed, self.events, self.checked = set(), 0, {"new": 0, "again": 0, "all_seen": 0}

    # ------------------------------------------------------------------------------------- the oracle

    def shown(self, life, videos):
        banned = set().union(*life.banned.values())
        return [v for v in videos if v not in self.removed and v % AUTHORS not in banned]

    def worth(self, life):
        """What each video is worth to the viewer now."""
        past = life.watches
        times = [watch[0] for watch in past] + [self.cluster.now_ms]
        begin = max((at for at in range(1, len(times)) if times[at] - times[at - 1] > HALF_HOUR_MS), default=0)
        skips = Counter(watch[1] % KINDS for watch in past if watch[2])
        liked = [watch[1] for watch in past[begin:] if watch[1] in life.liked][-10:]
        disliked = [watch[1] for watch in past if watch[1] in life.disliked][-10:]
        near, far = ({video % KINDS for video in group} for group in (liked, disliked))
        return {
            v: -v - 20 * skips[v % KINDS] + 20 * (v % AUTHORS in life.follows)
            + 30 * (v % KINDS in near) - 30 * (v % KINDS in far)
            for v in range(VIDEOS)
        }  # fmt: skip

    def expected(self, life, session):
        now = self.cluster.now_ms
        away = {v for at, of, v in life.served if of == session or now - at <= HALF_HOUR_MS}
        away |= {v for v, at in life.seen.items() if now - at <= 90 * DAY_MS}
        left = self.shown(life, [v for v in range(VIDEOS) if v not in away])
        worth = self.worth(life)
        return sorted(left, key=lambda v: (-worth[v], v))[:LIMIT]

    # -------------------------------------------------------------------------------------- the steps

    def ask(self, life):
        """A page by one of the ways to ask, from either process, checked."""
        now, idle = self.cluster.now_ms, self.cluster.now_ms - life.last_ms > HALF_HOUR_MS
        session = life.session + 1 if idle else life.session
        pages = sorted(page for of, page in life.pages if of == session)
        following = pages[-1] + 1 if pages else 0
        way = self.rng.choice(["next", "next", "next", "number", "cursor"])
        query, number = {}, following
        if way == "number":
            asked = self.rng.randrange(following + 2)
            query, number = {"page": asked}, min(asked, following)
        usable = [c for c in life.cursors if now <= c[0] and c[1] == session]
        if way == "cursor" and usable:
            _, _, number, text = self.rng.choice(usable)
            query = {"cursor": text}
        page = self.rng.choice(self.cluster.both).page(life.name, limit=LIMIT, **query)
        got = [int(name[1:]) for name in ids(page)]
        assert page.degraded in ((), ("nothing_left",)), page.degraded
        if (session, number) in life.pages:
            assert got == self.shown(life, life.pages[session, number]), (life.name, query)
            self.checked["again"] += 1
        else:
            assert got == self.expected(life, session), (life.name, query)
            life.pages[session, number] = got
            life.served += [(now, session, video) for video in got]
            life.session, life.last_ms = session, now
            self.checked["new"] += 1
        if page.cursor:
            life.cursors.append((now + HALF_HOUR_MS, session, number + 1, page.cursor))
        return page, got

    def tell(self, kind, viewer, **fields):
        self.events += 1
        self.cluster.now_ms += 1
        if "video" in fields:
            fields["video_id"] = f"v{fields.pop('video')}"
        if "author" in fields:
            fields["author_id"] = f"a{fields.pop('author')}"
        event = kind(event_id=f"e{self.events}", viewer_id=viewer, time_ms=self.cluster.now_ms, **fields)
        self.rng.choice(self.cluster.both).tell(event)

    def react(self, life, got):
        """Some impressions, watches and reactions to a page."""
        for video in got:
            if self.rng.random() < 0.5:
                self.tell(Impression, life.name, video=video)
                life.seen[video] = self.cluster.now_ms
        if not got or len(life.watches) > 45:  # the row remembers 50
            return
        video, skip = self.rng.choice(got), self.rng.random() < 0.3
        self.tell(Watch, life.name, video=video, play_ms=100 if skip else 10_000, length_ms=25_000)
        life.watches.append([self.cluster.now_ms, video, skip])
        life.seen[video] = self.cluster.now_ms
        author, act = video % AUTHORS, self.rng.randrange(9)
        if act == 0:
            self.tell(Like, life.name, video=video)
            life.liked.add(video)
        elif act == 1 and life.liked:
            undone = self.rng.choice(sorted(life.liked))
            self.tell(Unlike, life.name, video=undone)
            life.liked.discard(undone)
        elif act == 2:
            self.tell(NotInterested, life.name, video=video)
            life.disliked.add(video)
        elif act == 3:
            self.change(life, author)

    def change(self, life, author):
        """How the viewer and an author stand to each other."""
        hidden, blocked, by = life.banned.values()
        for group, on, off in ((life.follows, Follow, Unfollow), (hidden, HideAuthor, UnhideAuthor),
                               (blocked, Block, Unblock)):  # fmt: skip
            if self.rng.random() < 0.4:
                other = self.rng.choice(sorted(group)) if group and self.rng.random() < 0.6 else None
                self.tell(on if other is None else off, life.name, author=author if other is None else other)
                group ^= {author if other is None else other} if other is not None else {author} - group
        if self.rng.random() < 0.3:
            self.tell(Unblock if author in by else Block, f"a{author}", author_id=life.name)
            by ^= {author}
        self.cluster.work()  # the end of a block counts once the tables know it

    def weather(self):
        """What befalls the cluster between two requests."""
        befalls = self.rng.random()
        self.cluster.now_ms += self.rng.choice([1_000, 60_000, 60_000, 5 * MINUTE_MS])
        if befalls < 0.04:
            self.cluster.work()  # no worker is days late
            self.cluster.now_ms += self.rng.choice([31 * MINUTE_MS, 3 * DAY_MS, 20 * DAY_MS])
        elif befalls < 0.10:
            self.cluster.work()  # what was told is in the stores by the time that the cache loses it
            self.cluster.lose_cache()
        elif befalls < 0.16:
            self.cluster.restart(self.rng.choice("ab"))
        elif befalls < 0.20:
            video = self.rng.randrange(VIDEOS)
            self.removed.add(video)
            self.events += 1
            gone = VideoRemoved(
                event_id=f"e{self.events}", viewer_id="staff", time_ms=self.cluster.now_ms, video_id=f"v{video}"
            )
            self.cluster.happened(gone)
        elif befalls < 0.5:
            self.cluster.work()
        self.cluster.watch()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_page_of_random_sessions_is_the_one_that_the_oracle_expects(tmp_path, seed):
    story = Story(tmp_path, seed)
    for _ in range(STEPS):
        for life in story.rng.sample(story.lives, 3):
            _, got = story.ask(life)
            story.react(life, got)
        story.weather()
    assert story.checked["new"] > 60 and story.checked["again"] > 20
    assert story.cluster.looks.count(True) > 3
