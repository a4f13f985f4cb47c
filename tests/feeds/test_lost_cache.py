"""A cache that lost what it had is shown the slates again, and no page repeats what a sibling served before."""

import asyncio

import pytest

from tests.feeds.test_for_you import names
from tests.feeds.toy_cluster import ToyCluster
from tests.feeds.toy_feed import ids


@pytest.fixture
def cluster(tmp_path):
    return ToyCluster(tmp_path)


def test_a_lost_cache_changes_no_page_and_repeats_none(cluster):
    a, b = cluster.both
    first, second = a.page(), b.page()
    cluster.lose_cache()
    cluster.watch()
    assert ids(a.page(page=1)) == ids(second) and ids(b.page(page=0)) == ids(first)
    assert ids(b.page()) == names(10, 11, 12, 13, 14)


def test_who_asks_at_once_waits_until_the_sibling_has_shown_its_slates_again(cluster):
    a, b = cluster.both
    a.page()
    b.page()
    cluster.lose_cache()

    async def ask():
        asked = asyncio.ensure_future(b.ask())
        await asyncio.sleep(0.05)
        assert not asked.done()
        await a.slates.watch()
        return await asked

    assert ids(asyncio.run(ask())) == names(10, 11, 12, 13, 14)


def test_a_page_comes_without_the_session_where_the_sibling_shows_nothing_in_time(tmp_path):
    cluster = ToyCluster(tmp_path, deadline_ms=60)
    a, b = cluster.both
    a.page()
    cluster.watch()
    cluster.lose_cache()
    page = b.page()
    assert page.degraded == ("session",) and len(ids(page)) == 5
    cluster.now_ms += 5_001  # who has not signed for so long lives no more
    assert b.page().degraded == ()


def test_a_page_says_so_too_where_only_this_processs_own_slates_are_known(tmp_path):
    cluster = ToyCluster(tmp_path, deadline_ms=60)
    a, b = cluster.both
    first, second = a.page(), b.page()
    cluster.watch()
    cluster.lose_cache()
    page = b.page()  # of the second page it knows itself
    assert page.degraded == ("session",) and not set(ids(page)) & set(ids(second))
    assert set(ids(page)) <= set(ids(first)) | set(names(*range(10, 40)))


def test_a_process_that_starts_again_shows_what_is_on_its_disk(cluster):
    a, b = cluster.both
    first = a.page()
    cluster.watch()
    cluster.lose_cache()
    cluster.restart("a")
    cluster.now_ms += 5_001
    cluster.watch()
    assert ids(b.page(page=0)) == ids(first) and ids(b.page()) == names(5, 6, 7, 8, 9)


def test_only_slates_of_the_last_two_hours_are_shown_again(cluster):
    a, _ = cluster.both
    a.page()
    cluster.now_ms += 2 * 3_600_000 + 1
    second = a.page()
    cluster.lose_cache()
    cluster.watch()
    shown = asyncio.run(cluster.both[1].slates.latest("ann", 10))
    assert [slate.slate_id for slate in shown] == [second.slate_id]
