"""What every Likes and every Totals promises: counts that equal a recount, whatever comes twice or late."""

import random
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import pytest

from core.catalogue import ViewerRecord
from core.events import Event, Follow, Like, Unfollow, Unlike, VideoRemoved
from core.ports import Record, Tables
from core.social import Likes, Totals, UserTotals, VideoTotals
from tests.contracts.events import DAY_MS, published, records
from tests.contracts.one_loop import OneLoop, Run


class Social(NamedTuple):
    """The stores of one database."""

    tables: Tables
    likes: Likes
    totals: Totals

    async def apply(self, batch: list[Record]) -> None:
        """What the worker does with a batch: each store takes its own events."""
        await self.tables.relate(batch)
        await self.likes.apply(batch)
        await self.totals.apply(batch)


def _like(kind: type[Like] | type[Unlike], second: int, viewer: str = "ann", video: str = "v1") -> Event:
    name = f"{kind.__name__}{second}"
    return kind(event_id=name, viewer_id=viewer, video_id=video, time_ms=DAY_MS + 1_000 * second)


def _removed(video: str) -> VideoRemoved:
    return VideoRemoved(event_id=f"removed-{video}", viewer_id="bo", video_id=video, time_ms=DAY_MS + 1)


class LikesContract(OneLoop):
    """Inherit it and give `open_social`; opening the same folder again is a restart."""

    async def open_social(self, folder: Path) -> Social:
        """The stores kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def social(self, run: Run, tmp_path: Path) -> Social:
        return run(self.open_social(tmp_path))

    def test_a_like_stands_until_it_is_taken_back(self, run: Run, social: Social) -> None:
        run(social.apply(records(_like(Like, 1), _like(Like, 1, video="v2"))))
        assert run(social.likes.liked("ann", ["v2", "v3", "v1", "v2"])) == [True, False, True, True]
        run(social.apply(records(_like(Unlike, 2), start=3)))
        assert run(social.likes.liked("ann", ["v1", "v2"])) == [False, True]
        assert run(social.totals.videos(["v1", "v2"])) == [VideoTotals(), VideoTotals(likes=1)]

    def test_the_last_word_counts_in_any_order_and_is_counted_once(self, run: Run, social: Social) -> None:
        for number, order in enumerate(permutations(range(3))):
            video = f"v{number}"
            events = records(*(_like(kind, s, video=video) for s, kind in enumerate((Like, Unlike, Like), 1)))
            for place in order:
                run(social.apply([events[place], events[place]]))
            assert run(social.totals.videos([video])) == [VideoTotals(likes=1)]

    def test_likes_count_for_the_author_before_and_after_the_video_is_known(self, run: Run, social: Social) -> None:
        run(social.apply(records(_like(Like, 1))))
        assert run(social.totals.users(["bo"])) == [UserTotals()]
        for _ in range(2):
            run(social.apply(records(published("v1"), published("v2"), start=2)))
        assert run(social.totals.users(["bo"])) == [UserTotals(videos=2, likes=1)]
        run(social.apply(records(_like(Like, 2, "cy"), _like(Like, 2, "cy", "v2"), start=4)))
        assert run(social.totals.users(["bo", "nobody"])) == [UserTotals(videos=2, likes=3), UserTotals()]

    def test_a_removed_video_and_its_likes_count_no_more(self, run: Run, social: Social) -> None:
        run(social.apply(records(published("v1"), published("v2"), _like(Like, 1), _like(Like, 1, video="v2"))))
        for _ in range(2):
            run(social.apply(records(_removed("v1"), start=5)))
        assert run(social.totals.users(["bo"])) == [UserTotals(videos=1, likes=1)]
        run(social.apply(records(published("v1"), _like(Like, 2, "cy"), start=6)))
        assert run(social.totals.users(["bo"])) == [UserTotals(videos=1, likes=1)]
        assert run(social.totals.videos(["v1"])) == [VideoTotals(likes=2)]

    def test_a_removal_that_comes_before_the_video_holds(self, run: Run, social: Social) -> None:
        run(social.apply(records(_removed("v1"))))
        run(social.apply(records(published("v1"), start=2)))
        assert run(social.totals.users(["bo"])) == [UserTotals()]

    def test_followers_are_counted_on_both_sides_and_a_put_keeps_the_counts(self, run: Run, social: Social) -> None:
        acts = [Follow(event_id=f"f{n}", viewer_id=f"u{n}", author_id="bo", time_ms=DAY_MS) for n in range(3)]
        own = Follow(event_id="own", viewer_id="bo", author_id="bo", time_ms=DAY_MS)
        run(social.apply(records(*acts, own)))
        run(social.tables.put_users([ViewerRecord(user_id="bo", username="Bo")]))
        gone = Unfollow(event_id="x", viewer_id="u1", author_id="bo", time_ms=DAY_MS + 1)
        run(social.apply(records(gone, start=5)))
        bo, u0, u1 = run(social.totals.users(["bo", "u0", "u1"]))
        assert (bo, u0, u1) == (UserTotals(followers=3, following=1), UserTotals(following=1), UserTotals())

    @pytest.mark.parametrize("seed", range(3))
    def test_any_order_of_arrival_gives_the_counts_of_a_plain_recount(
        self, run: Run, social: Social, seed: int
    ) -> None:
        rng = random.Random(seed)
        events = records(*(random_event(rng, number) for number in range(300)))
        arrival = rng.sample(events, len(events)) + rng.sample(events, 100)
        for start in range(0, len(arrival), 37):
            run(social.apply(arrival[start : start + 37]))
        users, videos = recount(events)
        assert dict(zip(USERS, run(social.totals.users(USERS)), strict=True)) == users
        assert dict(zip(VIDEOS, run(social.totals.videos(VIDEOS)), strict=True)) == videos

    def test_everything_is_there_after_a_restart(self, run: Run, tmp_path: Path) -> None:
        run(run(self.open_social(tmp_path)).apply(records(published("v1"), _like(Like, 1))))
        again = run(self.open_social(tmp_path))
        assert run(again.likes.liked("ann", ["v1"])) == [True]
        assert run(again.totals.users(["bo"])) == [UserTotals(videos=1, likes=1)]


USERS = [f"u{number}" for number in range(8)]
VIDEOS = [f"v{number}" for number in range(8)]


def random_event(rng: random.Random, number: int) -> Event:
    """A follow, a like, one taken back, or rarely a video that comes or goes; author of video v<n> is u<n>."""
    viewer, place, time_ms = rng.choice(USERS), rng.randrange(8), DAY_MS + rng.randrange(100)
    kind = rng.choices((Follow, Unfollow, Like, Unlike, None, VideoRemoved), (6, 4, 6, 4, 1, 0.1))[0]
    if kind is None:
        return published(f"v{place}", f"u{place}")
    if kind is VideoRemoved:
        return _removed(f"v{place}")
    about = {"author_id": f"u{place}"} if kind in (Follow, Unfollow) else {"video_id": f"v{place}"}
    return kind(event_id=f"e{number}", viewer_id=viewer, time_ms=time_ms, **about)  # type: ignore[arg-type]


def recount(events: list[Record]) -> tuple[dict[str, UserTotals], dict[str, VideoTotals]]:
    """The totals by the plainest rule: read the log once in order of (time, offset)."""
    follows, likes, authors, removed = set(), set(), dict[str, str](), set()
    for record in sorted(events, key=lambda record: (record.event.time_ms, record.offset)):
        event = record.event
        match event:
            case Follow():
                follows.add((event.viewer_id, event.author_id))
            case Unfollow():
                follows.discard((event.viewer_id, event.author_id))
            case Like():
                likes.add((event.viewer_id, event.video_id))
            case Unlike():
                likes.discard((event.viewer_id, event.video_id))
            case VideoRemoved():
                removed.add(event.video_id)
            case _:
                authors[event.video_id] = event.author_id
    there = {video: author for video, author in authors.items() if video not in removed}
    users = {
        user: UserTotals(
            followers=sum(author == user for _, author in follows),
            following=sum(viewer == user for viewer, _ in follows),
            videos=sum(author == user for author in there.values()),
            likes=sum(there.get(video) == user for _, video in likes),
        )
        for user in USERS
    }
    return users, {video: VideoTotals(likes=sum(liked == video for _, liked in likes)) for video in VIDEOS}
