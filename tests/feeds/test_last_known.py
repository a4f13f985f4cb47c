"""Relations through an outage of the tables: an acknowledged block holds, and what is not known is not guessed."""

import asyncio

import pytest

from backends.memory import MemoryBytes, MemoryRanked
from core.catalogue import Relations
from core.events import Block, Follow, HideAuthor, Unblock, Unfollow, UnhideAuthor
from core.ports import Record
from feeds.last_known import NOTHING_KNOWN, LastKnownRelations

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


class Cache:
    """A cache on a clock of its own."""

    def __init__(self):
        self.now_ms = 1_000 * DAY_MS
        self.known = LastKnownRelations(MemoryBytes(lambda: self.now_ms), MemoryRanked(lambda: self.now_ms))

    def remember(self, viewer, **groups):
        asyncio.run(self.known.remember(viewer, relations(**groups)))

    def report(self, kind, viewer, author, event_id="e"):
        event = kind(event_id=event_id, viewer_id=viewer, author_id=author, time_ms=self.now_ms)
        asyncio.run(self.known.report([Record(1, event)]))
        self.now_ms += 1

    def over(self, viewer, read=None):
        return asyncio.run(self.known.read(viewer)).over(read)


def relations(**groups):
    return Relations(**{name: tuple(groups.get(name, ())) for name in Relations.__struct_fields__})


@pytest.fixture
def cache():
    return Cache()


def test_without_tables_and_without_anything_known_nothing_is_known(cache):
    assert NOTHING_KNOWN.over(None) is None and cache.over("ann") is None
    cache.report(Block, "ann", "bob")
    assert cache.over("ann") is None


def test_a_block_counts_for_both_sides_before_the_tables_know_of_it(cache):
    cache.report(Block, "ann", "bob")
    assert cache.over("ann", relations()).blocked == ("bob",)
    assert cache.over("bob", relations()).blocked_by == ("ann",)


@pytest.mark.parametrize("hours", [0, 2, 24 * 6])
def test_a_block_is_known_as_long_as_the_relations_that_it_changes(cache, hours):
    cache.remember("ann", follows=["cid"])
    cache.now_ms += HOUR_MS
    cache.report(Block, "ann", "bob")
    cache.now_ms += hours * HOUR_MS
    held = cache.over("ann")
    assert held.blocked == ("bob",) and held.follows == ("cid",)


def test_relations_that_are_a_week_old_are_not_known_any_more(cache):
    cache.remember("ann", follows=["cid"])
    cache.now_ms += 7 * DAY_MS + 1
    assert cache.over("ann") is None


def test_the_last_word_on_a_block_is_the_one_that_counts(cache):
    cache.report(Block, "ann", "bob", "1")
    cache.report(Unblock, "ann", "bob", "2")
    assert cache.over("ann", relations()).blocked == ()


def test_a_reported_end_of_a_block_waits_for_the_tables(cache):
    # The block after it may have been acknowledged while the cache was away.
    cache.report(Unblock, "ann", "bob")
    assert cache.over("ann", relations(blocked=["bob"])).blocked == ("bob",)


def test_a_follow_and_its_end_count_at_once(cache):
    cache.report(Follow, "ann", "bob", "1")
    assert cache.over("ann", relations(follows=["cid"])).follows == ("cid", "bob")
    cache.report(Unfollow, "ann", "bob", "2")
    assert cache.over("ann", relations(follows=["cid", "bob"])).follows == ("cid",)


def test_a_hidden_author_and_the_end_of_that_count_at_once(cache):
    cache.report(HideAuthor, "ann", "bob", "1")
    assert cache.over("ann", relations(hidden=["cid"])).hidden == ("cid", "bob")
    cache.report(UnhideAuthor, "ann", "bob", "2")
    assert cache.over("ann", relations(hidden=["cid", "bob"])).hidden == ("cid",)


def test_whoever_reported_more_than_is_kept_is_not_known_without_the_tables(cache):
    cache.remember("ann")
    for number in range(200):
        cache.report(Block, "ann", f"a{number}", str(number))
    assert cache.over("ann") is None
    assert len(cache.over("ann", relations()).blocked) == 200
