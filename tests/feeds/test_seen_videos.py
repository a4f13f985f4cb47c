"""What was seen stays away for ninety days: exactly at first, then by Bloom filters, whatever becomes of the cache."""

import asyncio

import numpy as np
import pytest

from backends.memory import MemoryBytes
from backends.sqlite.database import Database
from backends.sqlite.history_store import SqliteHistoryStore
from core.errors import Unavailable
from core.events import Impression, Like
from core.ports import Record
from core.video_table import VideoTable
from features.layout import DAY_MS
from feeds.seen_videos import SeenConfig, SeenVideos
from tests.feeds.test_for_you import names
from tests.feeds.toy_feed import NOW_MS, ToyFeed, ids

CATALOGUE = 20_000


class Place:
    """A process that reads what viewers have seen, over a history and a cache that others share."""

    def __init__(self, folder, cache=None, history=None):
        self.now_ms, self.looks, self.effects, self.table = NOW_MS, [], [], VideoTable()
        nothing = np.zeros(CATALOGUE, np.int64)
        words = {name: [""] * CATALOGUE for name in ("author", "topic", "language", "region", "cluster")}
        videos = [f"v{number}" for number in range(CATALOGUE)]
        empty = np.zeros((CATALOGUE, 0), np.float32)
        self.table.extend(videos, words, nothing, nothing, ["public"] * CATALOGUE, empty)
        self.history = history or SqliteHistoryStore(Database(folder / "h.db", durable=False))
        self.cache = cache or MemoryBytes(lambda: self.now_ms)
        self.reads = 0
        self.forget()

    def forget(self):
        """As after a restart."""
        self.seen = SeenVideos(
            self, self.cache, self.table, lambda: self.now_ms, SeenConfig(), self.effects.append, self.looks.append
        )

    async def seen_between(self, viewer, from_ms, until_ms):
        self.reads += 1
        return await self.history.seen_between(viewer, from_ms, until_ms)

    def see(self, days, *numbers):
        """See videos so many days from NOW_MS on."""
        at = NOW_MS + int(days * DAY_MS)
        events = [Impression(event_id=f"{n}-{at}", viewer_id="ann", video_id=f"v{n}", time_ms=at) for n in numbers]
        asyncio.run(self.history.record([Record(1, event) for event in events]))

    def known(self, days):
        """The numbers of the videos that stay away so many days from NOW_MS on."""
        self.now_ms = NOW_MS + int(days * DAY_MS)

        async def read():
            seen = await self.seen.read("ann")
            for effect in self.effects:
                await effect
            self.effects.clear()
            return {int(video[1:]) for video in seen.recent} | set(seen.rows.tolist())

        return asyncio.run(read())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_seen_video_stays_away_for_ninety_days_and_comes_back_within_another_month(place):
    place.see(0, 5)
    for day in (0, 1, 8, 9, 30, 60, 89.9):
        assert 5 in place.known(day), day
    assert 5 not in place.known(121)


def test_the_last_sight_counts(place):
    place.see(0, 5)
    place.see(80, 5)
    assert 5 in place.known(169)


def test_the_filters_of_all_months_together_err_on_at_most_one_percent(place):
    rng, seen = np.random.default_rng(3), set()
    for day in range(0, 100):
        numbers = rng.integers(0, CATALOGUE // 2, 60).tolist()
        seen |= set(numbers)
        place.see(day, *numbers)
    known = place.known(89.5)
    assert not seen - known
    wrong = sum(number >= CATALOGUE // 2 for number in known) / (CATALOGUE / 2)
    assert wrong <= 0.01 + 4 * (0.01 / (CATALOGUE / 2)) ** 0.5


def test_a_lost_cache_is_made_again_of_the_history_with_the_same_bits(place):
    for day in range(60):
        place.see(day, day, 1_000 + day)
    before, kept = place.known(60), dict(place.cache._kept)
    place.cache._kept.clear()
    place.forget()
    assert place.known(60) == before
    assert {key: raw for key, (raw, _) in place.cache._kept.items()} == {key: raw for key, (raw, _) in kept.items()}


def test_a_filter_that_grew_day_by_day_knows_what_one_made_at_once_knows(place, tmp_path):
    for day in range(50):
        place.see(day, *range(40 * day, 40 * day + 40))
    for day in range(50):
        assert set(range(40 * day + 40)) <= place.known(day)
    fresh = Place(tmp_path, history=place.history)
    assert set(range(2_000)) <= fresh.known(49)


def test_the_history_is_asked_for_old_months_once_and_then_for_the_last_days_alone(place):
    for day in range(40):
        place.see(day, day)
    place.known(40)
    for again in (lambda: None, place.forget):
        again()
        place.reads = 0
        place.known(40)
        assert place.reads == 1


def test_another_process_takes_the_filters_from_the_cache(place, tmp_path):
    for day in range(40):
        place.see(day, day)
    mine = place.known(40)
    other = Place(tmp_path, cache=place.cache, history=place.history)
    assert other.known(40) == mine and other.reads == 1 and all(other.looks)


def test_a_cache_that_is_away_or_holds_garbage_hides_nothing(place):
    place.see(0, 5)

    class Broken:
        async def get(self, keys):
            raise Unavailable("away")

        async def set(self, values, ttl_ms):
            return None

    place.seen.cache = Broken()
    assert 5 in place.known(40)
    place.cache._kept.clear()
    place.forget()
    assert 5 in place.known(40)
    for key, (_, until) in list(place.cache._kept.items()):
        place.cache._kept[key] = (b"\xc1garbage", until)
    place.forget()
    assert 5 in place.known(40)


def test_a_video_that_came_to_the_catalogue_later_is_asked_about_too(place):
    place.see(0, CATALOGUE + 1)  # another replica has it already
    place.see(0, 5)
    place.known(40)
    words = {name: ["", ""] for name in ("author", "topic", "language", "region", "cluster")}
    place.table.extend(
        [f"v{CATALOGUE}", f"v{CATALOGUE + 1}"], words, np.zeros(2), np.zeros(2), ["public"] * 2, np.zeros((2, 0))
    )
    assert CATALOGUE + 1 in place.known(40)


# ------------------------------------------------------------------------------------- on the feed


def see(toy, *numbers):
    toy.happen(
        *(Impression(event_id=f"i{n}-{toy.now_ms}", viewer_id="ann", video_id=f"v{n}", time_ms=toy.now_ms + n)
          for n in numbers)
    )  # fmt: skip


def test_pages_leave_out_what_was_seen_in_the_last_days_and_months_and_show_it_again_after_them(tmp_path):
    toy = ToyFeed(tmp_path, seen=SeenConfig())
    see(toy, 0, 1)
    toy.now_ms += 40 * DAY_MS
    see(toy, 2)
    assert ids(toy.page()) == names(3, 4, 5, 6, 7)
    toy.now_ms += 85 * DAY_MS
    assert ids(toy.page(limit=4)) == names(0, 1, 3, 4)


def test_when_everything_was_seen_the_page_says_so_and_shows_liked_then_oldest_but_nothing_of_this_session(tmp_path):
    toy = ToyFeed(tmp_path, seen=SeenConfig())
    see(toy, *range(4, 40), *range(4))
    toy.happen(Like(event_id="l", viewer_id="ann", video_id="v9", time_ms=toy.now_ms))
    first, second = toy.page(), toy.page()
    # Seen in the order of their numbers, whatever the order of the reports; 9 is liked.
    assert (ids(first), first.all_seen, first.degraded) == (names(9, 0, 1, 2, 3), True, ())
    assert ids(second) == names(4, 5, 6, 7, 8) and second.all_seen
    assert ids(toy.page(page=0)) == ids(first) and toy.page(page=0).all_seen
    slate = asyncio.run(toy.slates.get(first.slate_id))
    assert set(slate.sources) == {"seen_again"} and asyncio.run(toy.slates.get_detail(first.slate_id)) is not None


def test_a_page_with_anything_unseen_does_not_say_that_all_was_seen(tmp_path):
    toy = ToyFeed(tmp_path, seen=SeenConfig())
    see(toy, *range(1, 40))
    page = toy.page()
    assert (ids(page), page.all_seen) == (names(0), False)
    assert toy.page().all_seen
