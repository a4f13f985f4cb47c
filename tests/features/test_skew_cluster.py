"""Rows that a cluster served while its workers were counting come out of archive and log again to the last bit."""

import asyncio

import numpy as np

from core.arrays import pack
from core.log import Message
from core.query import Query
from core.slate import Slate, SlateDetail
from core.topics import CATALOGUE, COUNTS, SLATES, USER_INTERACTION
from core.video_table import Vocabulary
from features.archive.reader import ArchivedLog
from features.layout import VIEWER_DTYPE
from features.logged import READ, VIEWER_READ, logged_slate, viewer_read
from features.online import OnlineFeatures
from features.packed import record_of
from features.skew.archived import ArchivedCatalogue, ArchivedStates
from features.skew.check import check_skew
from features.skew.feast_join import check_join
from features.state import FeatureState
from feeds.logged_slates import ArchivedSlates
from feeds.shared_slates import _message
from tests.features.stream.cluster import Cluster
from tests.features.stream.story import tell
from tests.features.toy_messages import ToyLog
from tests.features.worldlet import START_MS

NOW_MS = START_MS + 40 * 86_400_000


class Replica:
    """Serves from what the online store holds at that moment."""

    def __init__(self, cluster, follower):
        self.cluster, self.follower, self.slates = cluster, follower, 0

    async def serve(self, viewer, rng):
        table = self.follower.table
        rows = rng.choice(len(table), 20, replace=False).astype(np.int32)
        state = FeatureState(table)
        state.ensure()
        for entity, counters, names in (
            ("video", state.videos, table.video_ids),
            ("author", state.authors, table.authors.words),
        ):
            for row, raw in enumerate(await self.cluster.online.read(entity, names)):
                counters.unpack(row, raw)
        for row, raw in await self.cluster.online.scan("trend"):
            state.trends.unpack(int(row), raw)
        raw = (await self.cluster.online.read("viewer", [viewer]))[0]
        record = record_of(raw, VIEWER_DTYPE) if raw else np.zeros(1, VIEWER_DTYPE)
        record["profile"][0, 0] = 1
        query = Query(
            viewer_id=viewer, surface="for_you", session_id="", now_ms=NOW_MS, page=0, limit=20, seed=0,
            viewer_state=record, follows=np.array([1, 2], np.int32),
        )  # fmt: skip
        features, read = OnlineFeatures(state, Vocabulary(["for_you"]), 1).matrix_and_read(query, rows)
        self.slates += 1
        slate = Slate(
            slate_id=f"s{self.slates}", viewer_id=viewer, session_id="", surface="for_you", time_ms=NOW_MS, page=0,
            seed=0, video_ids=tuple(table.video_ids[row] for row in rows), sources=("x",) * 20,
            applied_offset=self.follower.offset,
        )  # fmt: skip
        served = {"features": features, "rows": rows, READ: read, VIEWER_READ: viewer_read(record, NOW_MS)}
        return logged_slate(slate, SlateDetail(slate_id=slate.slate_id, served=pack(served)))


async def served_while_counting(cluster, slates):
    await tell(cluster, 1)
    follower = cluster.follower("reader")
    await follower.load()
    await follower.advance()
    replica, rng, logged = Replica(cluster, follower), np.random.default_rng(2), []
    counting = asyncio.create_task(cluster.rest(cluster.worker()))
    while not counting.done() or len(logged) < slates:
        logged.append(await replica.serve(f"u{rng.integers(12)}", rng))
        await asyncio.sleep(0.01)
    await counting
    return logged, list(follower.table.authors.words)


def test_rows_served_while_workers_count_come_out_of_the_topics_to_the_last_bit(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        logged, authors = await served_while_counting(cluster, 40)

        def topics(name):
            return ArchivedLog(cluster.blobs, cluster.log, name)

        replayed = await check_skew(logged, ArchivedStates(topics), ArchivedCatalogue(topics), authors)
        report = replayed.report
        assert report.rows >= 800 and report.missing_states == 0 and report.differences == ()
        # the slates saw the state grow
        assert len({int(one.viewer["version"][0]) for one in logged}) > 5
        assert len({key.version for key in replayed.states if key.entity == "video"}) > 5
        joined = await check_join(replayed, ArchivedCatalogue(topics), tmp_path / "feast")
        assert (joined.rows, joined.wrong_states, joined.beyond_one_ulp) == (report.rows, 0, ())
        assert joined.max_ulp <= 1

    asyncio.run(main())


def test_topics_without_anything_lead_to_no_state(tmp_path):
    log = ToyLog()
    for name in (CATALOGUE, COUNTS, USER_INTERACTION):
        asyncio.run(log.bounds(name))
    states = ArchivedStates(lambda name: ArchivedLog(Cluster(tmp_path).blobs, log, name))
    assert asyncio.run(states.states([])) == {}


def test_the_slates_of_every_partition_are_read_in_turn_page_by_page(tmp_path):
    log = ToyLog()

    async def main():
        for number in range(7):
            slate = Slate(slate_id=f"s{number}", viewer_id=f"u{number}", session_id="", surface="for_you", time_ms=1,
                          page=0, seed=0, video_ids=("v",), sources=("x",))  # fmt: skip
            detail = SlateDetail(slate_id=slate.slate_id, served=b"rows") if number % 2 else None
            message = _message(slate, detail)
            await log.append(SLATES, [Message(message.key, message.value)])
        slates = ArchivedSlates(ArchivedLog(Cluster(tmp_path).blobs, log, SLATES))
        found, after = [], 0
        while page := await slates.logged(after, 2):
            assert len(page) <= 2
            found, after = found + page, page[-1][0]
        assert sorted(slate.slate_id for _, slate, _ in found) == [f"s{n}" for n in range(7)]
        assert {slate.slate_id for _, slate, detail in found if detail} == {"s1", "s3", "s5"}

    asyncio.run(main())
