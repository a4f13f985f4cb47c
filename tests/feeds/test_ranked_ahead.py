"""Ranking ahead: for those who watch, newest first, within a share of a core, and only where it is needed."""

import asyncio

import pytest

from backends.memory import MemoryRanked
from core.errors import Unavailable
from core.events import Watch
from feeds.ranked_ahead import AheadConfig, RankedAhead, Watching
from tests.feeds.test_for_you import names
from tests.feeds.test_ranked_remainder import Cutting, event
from tests.feeds.toy_feed import ids


class Bench:
    """A worker whose clocks and work a test controls; each viewer takes two seconds."""

    def __init__(self, share=0.25):
        self.now_ms, self.cpu, self.slept, self.done = 1_000_000, 0.0, [], []
        self.watching = Watching(MemoryRanked(lambda: self.now_ms), lambda: self.now_ms)
        config = AheadConfig(active_ms=60_000, share=share)
        self.worker = RankedAhead(self.prepare, self.watching, config, lambda: self.cpu, self.sleep)

    async def prepare(self, viewer):
        self.done.append(viewer)
        self.cpu += 2.0
        return viewer != "bob"

    async def sleep(self, seconds):
        self.slept.append(seconds)

    def watch(self, *viewers):
        for viewer in viewers:
            self.now_ms += 1_000
            asyncio.run(self.watching.note(viewer))


def test_who_watched_last_comes_first_and_who_left_does_not_come():
    bench = Bench()
    bench.watch("gone")
    bench.now_ms += 58_000
    bench.watch("ann", "bob", "cid", "ann")
    assert asyncio.run(bench.worker.round()) == 2 and bench.done == ["ann", "cid", "bob"]


@pytest.mark.parametrize(("share", "pause"), [(0.25, 6.0), (0.5, 2.0), (1.0, 0.0)])
def test_it_rests_as_long_as_its_share_of_a_core_asks(share, pause):
    bench = Bench(share)
    bench.watch("ann", "cid")
    asyncio.run(bench.worker.round())
    assert bench.slept == [pause, pause]  # two of eight seconds are a quarter


def test_an_outage_is_waited_out():
    bench, turns = Bench(), iter([Unavailable("away"), None, KeyboardInterrupt()])
    bench.watch("ann")

    async def prepare(viewer):
        if (error := next(turns)) is not None:
            raise error
        return True

    object.__setattr__(bench.worker, "prepare", prepare)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(bench.worker.run())
    assert list(turns) == []


def test_a_page_after_a_skip_is_cut_from_what_the_worker_ranked_for_it(tmp_path):
    cluster = Cutting(tmp_path)
    a, b = cluster.both
    watching = Watching(cluster.ranked, cluster.clock)
    object.__setattr__(a.parts, "active", watching)
    a.page()
    a.tell(event(Watch, 1, video_id="v0", play_ms=100, length_ms=20_000))
    worker = RankedAhead(lambda viewer: b.feed.prepare(viewer, limit=5), watching, AheadConfig(share=1.0))

    async def round():
        return await b.settled(worker.round())

    assert asyncio.run(round()) == 1
    assert ids(a.page()) == names(5, 6, 7, 9, 10) and cluster.looks == [False, True]
