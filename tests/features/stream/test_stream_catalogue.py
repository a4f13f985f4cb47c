"""The catalogue in its one order: the same rows and codes for everyone, and how it was at earlier offsets."""

import asyncio

import msgspec
import numpy as np
import pytest

from core.errors import CorruptData, NotFound, SchemaMismatch
from core.events import VideoUpdated, Watch, encode
from core.log import Message
from core.ports import Record
from core.topics import CATALOGUE
from core.video_table import Vocabulary
from features.columns import columns_of
from features.stream.messages import (
    COUNT_ROW,
    CatalogueEntry,
    CountsBatch,
    decode_batch,
    decode_entry,
    encode_batch,
    encode_entry,
)
from features.stream.past import VOCABULARIES
from tests.features.stream.cluster import Cluster
from tests.features.stream.oracle import Oracle
from tests.features.stream.story import changes, register
from tests.features.worldlet import START_MS, publications


def shape(table):
    """Everything that rows and codes say."""
    columns = {name: getattr(table, name).tolist() for name in ("author", "topic", "language", "region", "cluster")}
    words = {name: getattr(table, name).words for name in VOCABULARIES}
    return table.video_ids, columns, words, table.visibility.tolist(), table.embedding.tobytes()


def test_every_process_has_the_same_rows_and_codes_also_after_a_restart(tmp_path):
    async def main():
        cluster, rng = Cluster(tmp_path), np.random.default_rng(0)
        await register(cluster, *publications())
        early, second = cluster.follower("a"), cluster.follower("a")
        await early.load()
        await second.load()
        await early.advance()
        for number in range(5):
            end = await register(cluster, *changes(rng, number))
            await (early if number % 2 else second).advance(end)
        await early.advance()
        await second.advance()
        late, other = cluster.follower("a"), cluster.follower("b")
        for follower in (late, other):
            await follower.load()
            await follower.advance()
        wanted = shape((await Oracle(cluster.log).load()).table(0))
        assert all(shape(follower.table) == wanted for follower in (early, second, late, other))

    asyncio.run(main())


@pytest.mark.parametrize("restarted", [False, True])
def test_events_see_the_catalogue_as_they_were_stamped(tmp_path, restarted):
    async def main():
        cluster, rng = Cluster(tmp_path), np.random.default_rng(1)
        await register(cluster, *publications())
        for number in range(4):
            await register(cluster, *changes(rng, number))
        follower = cluster.follower()
        await follower.load()
        end = await follower.advance()
        if restarted:
            follower = cluster.follower()
            await follower.load()
        oracle = await Oracle(cluster.log).load()
        events = [
            Watch(event_id="e", viewer_id="u", time_ms=START_MS, video_id=video, play_ms=1, length_ms=1,
                  viewer_region=f"r{offset % 5}", catalogue_offset=offset)
            for offset in range(1, end + 1) for video in follower.table.video_ids
        ]  # fmt: skip
        columns = columns_of([Record(1, event) for event in events], follower.table, {}, Vocabulary())
        columns, traits = follower.past.as_of(columns)
        for i, event in enumerate(events):
            table = oracle.table(event.catalogue_offset)
            row = table.row(event.video_id)
            assert columns.video[i] == row and columns.region[i] == table.regions.code(event.viewer_region)
            if row < 0:
                assert columns.author[i] == 0 and traits.topic[i] == 0
                continue
            at = traits.row[i]
            assert columns.author[i] == table.author[row]
            for name in ("author", "topic", "cluster", "language", "length_ms"):
                assert getattr(traits.videos, name)[at] == getattr(table, name)[row]
            assert traits.videos.embedding[at].tobytes() == table.embedding[row].tobytes()

    asyncio.run(main())


def test_entries_that_come_again_or_before_their_predecessor_change_nothing(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        events = publications(6)

        async def append(*places):
            await cluster.log.append(CATALOGUE, [
                Message("v", encode_entry(CatalogueEntry(source_partition=0, source_offset=offset,
                        event=encode(events[offset]), previous_offset=previous)))
                for offset, previous in places
            ])  # fmt: skip

        # 3 and 2 arrive before 1, which had failed: they come again after it.
        await append((3, 2), (2, 1), (1, -1), (2, 1), (3, 2), (2, 1), (4, 3), (4, -1), (5, 4))
        follower = cluster.follower()
        await follower.load()
        await follower.advance()
        assert follower.table.video_ids == ["v1", "v2", "v3", "v4", "v5"]

    asyncio.run(main())


def test_old_traits_are_forgotten_and_an_offset_beyond_the_end_is_said_so(tmp_path):
    async def main():
        cluster = Cluster(tmp_path)
        first = await register(cluster, *publications())
        event = VideoUpdated(event_id="t", viewer_id="a", time_ms=START_MS, video_id="v3", topic="other")
        end = await register(cluster, event)
        follower = cluster.follower()
        await follower.load()
        with pytest.raises(NotFound, match=f"ends at {end}"):
            await follower.advance(end + 1)
        seen = Watch(
            event_id="e", viewer_id="u", time_ms=1, video_id="v3", play_ms=1, length_ms=1, catalogue_offset=first
        )
        columns = columns_of([Record(1, seen)], follower.table, {}, Vocabulary())
        assert follower.past.as_of(columns)[1].topic.tolist() == [follower.table.topics.code("t3")]
        follower.past.forget(end)
        assert follower.past.as_of(columns)[1].topic.tolist() == [follower.table.topics.code("other")]

    asyncio.run(main())


def test_messages_of_a_newer_build_and_damaged_ones_are_told_apart():
    entry = CatalogueEntry(source_partition=1, source_offset=2, event=b"x")
    assert decode_entry(encode_entry(entry)) == entry
    with pytest.raises(SchemaMismatch, match="schema 7"):
        decode_entry(encode_entry(msgspec.structs.replace(entry, schema=7)))
    with pytest.raises(CorruptData):
        decode_entry(b"\xff\x00")
    batch = CountsBatch.of(1, 2, 3, np.ones(4, COUNT_ROW))
    assert decode_batch(encode_batch(batch)).columns().tobytes() == np.ones(4, COUNT_ROW).tobytes()
    with pytest.raises(CorruptData, match="checksum"):
        decode_batch(encode_batch(msgspec.structs.replace(batch, rows=batch.rows[:-1] + b"\x09"))).columns()
    with pytest.raises(CorruptData):
        decode_batch(encode_entry(entry))
