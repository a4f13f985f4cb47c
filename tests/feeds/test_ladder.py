"""The rungs of a page: which one answers, that it says so, and that no rung lets out what must not be seen."""

import asyncio

import numpy as np
import pytest

from core.engine import Engine
from core.errors import Unavailable
from core.query import Query
from core.video_table import VideoTable
from feeds.config import ForYouConfig
from feeds.ladder import Ladder, Rung
from feeds.surfaces import for_you
from tests.core.test_video_table import published, updated
from tests.feeds.toy_feed import EveryVideo, ToyFeed, ToyModels, ids

MS = 1_000_000
ROWS = {"cached": [3, 4, 5], "trending": [7, 8, 9]}


class Slow(EveryVideo):
    """A source that takes a while, by the clock of the test."""

    def __init__(self, table, clock):
        super().__init__(table)
        self.clock, self.takes_ns = clock, 0

    def fetch(self, query):
        self.clock.now_ns += self.takes_ns
        return super().fetch(query)


class Clock:
    now_ns = 0

    def __call__(self):
        return self.now_ns


class Broken(ToyModels):
    """Models that a test can break."""

    broken = False

    def values(self, features):
        if self.broken:
            raise ZeroDivisionError
        return super().values(features)


class Toy:
    def __init__(self):
        self.table, self.clock, self.models = VideoTable(), Clock(), Broken()
        for row in range(12):
            self.table.publish(published(f"v{row}", author_id=f"a{row % 4}"))
        self.pages = [[1, 2]]
        self.source = Slow(self.table, self.clock)
        config = ForYouConfig(author_cap=40, author_weight=0, topic_weight=0)
        self.surface = for_you((self.source,), self.table, self.models, config)
        self.answered, self.failed, self.rows = [], [], {name: list(rows) for name, rows in ROWS.items()}
        self.ladder = Ladder(
            Engine(timer=self.clock), [Rung(name, self._rung(name)) for name in ROWS], 300 * MS,
            answered=self.answered.append, failed=self.failed.append,
        )  # fmt: skip

    def _rung(self, name):
        async def rows(query):
            if self.rows[name] is None:
                raise Unavailable("away")
            if self.rows[name] == "late":
                await asyncio.sleep(5)
            return np.asarray(self.rows[name], np.int32)

        return rows

    def page(self, begun_ns=None, **fields):
        """(video rows, what is said to be missing)"""
        fields = {"limit": 3, **fields}
        query = Query(
            viewer_id="ann",
            surface="for_you",
            session_id="s",
            now_ms=1,
            page=0,
            seed=1,
            viewer_state=_nobody(),
            **fields,
        )
        begun_ns = self.clock.now_ns if begun_ns is None else begun_ns
        pages = [np.asarray(page, np.int32) for page in self.pages]
        asked, surface, ranked = asyncio.run(self.ladder.page(query, self.surface, begun_ns, lambda: pages))
        assert asked.now_ms == 1 and len(surface.sources) >= 1
        return ranked.batch.rows.tolist(), ranked.trace.degraded


def _nobody():
    from features.layout import VIEWER_DTYPE

    return np.zeros(1, VIEWER_DTYPE)


@pytest.fixture
def toy():
    return Toy()


def test_the_full_rung_answers_while_there_is_time(toy):
    toy.source.takes_ns = 299 * MS
    rows, missing = toy.page()
    assert (len(rows), missing, toy.answered, toy.failed) == (3, [], ["full"], [])


def test_each_rung_is_left_for_the_next_and_the_answer_says_which_it_is(toy):
    toy.models.broken = True
    assert toy.page() == ([3, 4, 5], ["cached"])
    toy.rows["cached"] = None
    assert toy.page() == ([7, 8, 9], ["trending"])
    toy.rows["trending"] = "late"
    assert toy.page() == ([1, 2], ["last_page"])
    assert toy.answered == ["cached", "trending", "last_page"]
    assert toy.failed == ["full", "full", "cached", "full", "cached", "trending"]
    toy.models.broken = False
    assert toy.page()[1] == []


def test_a_request_that_is_late_already_does_not_begin_what_it_cannot_end(toy):
    toy.source.takes_ns = 100 * MS
    for _ in range(30):  # a full page usually takes 100 ms
        toy.page()
    before = toy.clock.now_ns
    assert toy.page(begun_ns=before - 250 * MS)[1] == ["cached"]
    assert toy.clock.now_ns == before
    assert toy.page(begun_ns=before - 150 * MS)[1] == []


def test_one_slow_hour_does_not_shut_the_full_rung_for_ever(toy):
    toy.source.takes_ns = 299 * MS
    for _ in range(50):
        toy.page()
    toy.source.takes_ns, waited = 1 * MS, toy.clock.now_ns
    tries = [toy.page(begun_ns=waited - 100 * MS)[1] for _ in range(4)]
    assert tries[0] == ["cached"] and tries[-1] == []


def test_what_goes_over_the_deadline_is_given_up_at_the_next_stage(toy):
    toy.source.takes_ns = 301 * MS
    assert toy.page() == ([3, 4, 5], ["cached"]) and toy.failed == ["full"]


def test_no_rung_lets_out_what_must_not_be_seen_and_only_the_last_one_what_was_seen(toy):
    toy.models.broken = True
    toy.table.update(updated("v3", visibility="private"))
    toy.table.update(updated("v1", blocked_regions=("DE",)))
    block_a0 = np.asarray([toy.table.authors.code("a0")], np.int32)  # v0, v4, v8
    seen = np.asarray([5, 2, 7], np.int32)
    fields = {"seen": seen, "blocked_authors": block_a0, "region": "DE"}
    assert toy.page(**fields) == ([9], ["trending"])
    toy.rows["trending"] = [8]
    assert toy.page(**fields) == ([2], ["last_page"])
    a2 = np.asarray([toy.table.authors.code("a2")], np.int32)  # v2
    assert toy.page(**fields | {"blocked_authors": np.concatenate((block_a0, a2))}) == ([], ["last_page"])


def test_the_last_rung_repeats_nothing_that_was_served_of_late_while_older_pages_have_something_else(toy):
    toy.models.broken, toy.rows = True, dict.fromkeys(ROWS)
    toy.pages = [[1, 2], [3, 4], [2, 5, 6]]
    served, seen = np.asarray([1, 2, 3, 4], np.int32), np.arange(12, dtype=np.int32)
    assert toy.page(served=served, seen=seen) == ([5, 6], ["last_page"])
    toy.pages = toy.pages[:2]
    assert toy.page(served=served, seen=seen) == ([1, 2], ["last_page"])
    toy.pages = []
    assert toy.page(served=served, seen=seen) == ([], ["last_page"])


def test_a_rung_whose_store_was_late_some_times_is_hardly_waited_for(toy):
    toy.models.broken, toy.rows["cached"] = True, "late"
    toy.ladder.deadline_ns = 60 * MS
    limits = []
    limit_s = toy.ladder.patience.limit_s

    def told(name, whole_s):
        limits.append(limit_s(name, whole_s) / whole_s)
        return limits[-1] * whole_s

    object.__setattr__(toy.ladder.patience, "limit_s", told)

    async def pages():
        query = Query(
            viewer_id="ann",
            surface="for_you",
            session_id="s",
            now_ms=1,
            page=0,
            seed=1,
            limit=3,
            viewer_state=_nobody(),
        )
        for _ in range(5):
            *_, ranked = await toy.ladder.page(query, toy.surface, toy.clock.now_ns, list)
            assert ranked.trace.degraded == ["trending"]

    asyncio.run(pages())
    assert limits[::2] == [1, 1, 1, 1, 0.1]  # three times late, a probe, and the breaker is open


def test_a_page_from_below_is_a_slate_like_any_other(tmp_path, monkeypatch):
    toy = ToyFeed(tmp_path)
    first = toy.page(limit=3)

    def breaks(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(ToyModels, "values", breaks)
    second = toy.page(limit=3)
    assert (ids(second), second.degraded) == (ids(first), ("last_page",))
    slate = asyncio.run(toy.slates.get(second.slate_id))
    assert (slate.sources, slate.degraded, slate.page) == (("last_page",) * 3, ("last_page",), 1)
    assert asyncio.run(toy.slates.get_detail(second.slate_id)) is None  # nothing was scored
    assert ids(toy.page(page=1, limit=3)) == ids(second)
    monkeypatch.undo()
    assert not set(ids(toy.page(limit=3))) & set(ids(first))
