"""What the stream must leave, by an obvious replay: one event after the other, on the catalogue as each was stamped."""

import numpy as np

from core.errors import CorruptData
from core.events import VIEWER_EVENTS, VideoPublished, VideoUpdated, decode
from core.ports import Record
from core.topics import CATALOGUE, COUNTS, USER_INTERACTION
from core.video_table import VideoTable, Vocabulary
from features.columns import columns_of
from features.counting import count_events, trend_rows
from features.layout import VIEWER_DTYPE
from features.packed import pack_rows, unstamped
from features.state import FeatureState
from features.stream.messages import decode_batch, decode_entry


class Oracle:
    """Replays the topics of a log."""

    def __init__(self, log):
        self._log, self._tables = log, {}

    async def load(self):
        """Read the catalogue: the first entry of each source offset counts."""
        self._catalogue, reached = [], {}
        for entry in await self._log.read(CATALOGUE, 0, 0, 100_000):
            placed = decode_entry(entry.value)
            if placed.source_offset > reached.get(placed.source_partition, 0):
                reached[placed.source_partition] = placed.source_offset
                self._catalogue.append((entry.offset, decode(placed.event)))
        return self

    def table(self, offset):
        """The catalogue up to an offset (0: all of it)."""
        if offset not in self._tables:
            table = self._tables[offset] = VideoTable()
            for at, event in self._catalogue:
                if offset and at > offset:
                    break
                if isinstance(event, VideoPublished):
                    table.publish(event)
                elif isinstance(event, VideoUpdated):
                    table.update(event)
                else:
                    table.remove(event)
        return self._tables[offset]

    async def events(self, partition):
        """The events of a partition that count, by offset: readable ones of viewers, the first of each id."""
        seen, kept = set(), {}
        for entry in await self._log.read(USER_INTERACTION, partition, 0, 100_000):
            try:
                event = decode(entry.value)
            except CorruptData:
                continue
            key = (event.viewer_id, event.event_id)
            if not isinstance(event, VIEWER_EVENTS) or key in seen:
                continue
            seen.add(key)
            kept[entry.offset] = event
        return kept

    def _count(self, state, offset, event, viewers, rows):
        """One event into the state; the keys of the counters that it touches."""
        state.table = self.table(event.catalogue_offset)
        state.ensure()
        columns = columns_of([Record(offset, event)], state.table, viewers, Vocabulary())
        count_events(state, columns, rows)
        video, author = int(columns.video[0]), int(columns.author[0])
        keys = [("author", state.table.authors.words[author])] if author > 0 else []
        if video >= 0:
            keys.append(("video", state.table.video_ids[video]))
            keys += [("trend", str(row)) for row in trend_rows(state.table, columns.in_regions(rows)).tolist()]
        return keys

    async def viewers(self, partitions):
        """(unstamped row, version) of every viewer."""
        found = {}
        for partition in range(partitions):
            state, viewers, versions = FeatureState(self.table(0)), {}, {}
            events = await self.events(partition)
            rows = np.zeros(len({event.viewer_id for event in events.values()}), VIEWER_DTYPE)
            for offset, event in events.items():
                self._count(state, offset, event, viewers, rows)
                versions[event.viewer_id] = offset
            for viewer_id, raw in zip(viewers, pack_rows(rows), strict=True):
                found["viewer", viewer_id] = (unstamped(raw), versions[viewer_id])
        return found

    async def counters(self, partitions):
        """(unstamped row, version) of every counter, each counted in the order in which its partition heard of it."""
        events = {partition: await self.events(partition) for partition in range(partitions)}
        found, owner = {}, {}
        heard = {}
        for partition in range(partitions):
            state, reached, versions = FeatureState(self.table(0)), {}, {}
            for entry in await self._log.read(COUNTS, partition, 0, 100_000):
                try:
                    batch = decode_batch(entry.value)
                except CorruptData:
                    continue
                source = batch.source_partition
                for offset in batch.columns()["offset"].tolist():
                    if offset <= reached.get(source, 0):
                        continue
                    reached[source] = offset
                    keys = self._count(state, offset, events[source][offset], {}, np.zeros(1, VIEWER_DTYPE))
                    for key in keys:
                        versions[key] = entry.offset
                        heard.setdefault((source, offset), set()).add((partition, key))
            self._mine(state, partition, versions, found, owner)
        self._nothing_lost(events, heard, owner)
        return found

    def _mine(self, state, partition, versions, found, owner):
        """Keep the rows that this partition owns: those whose key hashes to it."""
        from zlib import crc32

        state.table = self.table(0)
        rows = {"video": (state.videos, state.table.row), "author": (state.authors, state.table.authors.code)}
        rows["trend"] = (state.trends, int)
        for (entity, name), version in versions.items():
            if crc32(f"{entity}:{name}".encode()) % self.partitions == partition:
                counters, row_of = rows[entity]
                owner[entity, name] = partition
                found[entity, name] = (unstamped(counters.pack([row_of(name)])[0]), version)

    partitions = 3

    def _nothing_lost(self, events, heard, owner):
        """Every key that an event touches was told to the key's owner."""
        for source, by_offset in events.items():
            state = FeatureState(self.table(0))
            for offset, event in by_offset.items():
                for key in self._count(state, offset, event, {}, np.zeros(1, VIEWER_DTYPE)):
                    assert (owner.get(key), key) in heard.get((source, offset), set()), (source, offset, key)
