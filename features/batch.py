"""The batch driver: replays the log in event-time order through the shared kernels.

A read for an impression comes before every event of the same millisecond, so that a value uses only events
strictly before the impression that it describes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from core.arrays import Array
from core.catalogue import ViewerRecord
from core.errors import InputError
from core.room import BLOCK, MEMORY, Room, blocks
from features.columns import EventColumns
from features.counting import count_events, stamp_rows
from features.dataset import Choose, Progress, Rows, bits_to_signal, labelled
from features.definitions import FEATURES, Reading, matrix
from features.join import attach
from features.kernels import replay
from features.layout import HISTORY, OP, VIEWER_DTYPE
from features.packed import pack_rows
from features.raw import Blocks, Histories, Operations
from features.state import FeatureState, empty_blocks, viewer_arrays

CHUNK = 32_768


class Reads(NamedTuple):
    """Impressions to read: event index and last moment known of each [reads], and their order in the replay."""

    at: Array
    known_ms: Array
    order: Array


class BatchDriver:
    """Holds the events, the feature state that they lead to, and every viewer's record."""

    def __init__(self, state: FeatureState, events: EventColumns, viewers: dict[str, int], room: Room = MEMORY) -> None:
        if not len(events):
            raise InputError("The log holds no viewer events; import some with `foryou import` or `foryou world`.")
        state.ensure()
        self.state, self.events, self.viewers, self.room = state, events, viewers, room
        self.records: Array = room.empty(len(viewers), VIEWER_DTYPE)

    def set_profiles(self, users: Sequence[ViewerRecord]) -> None:
        """Put the public profile of every known user into their record."""
        for user in users:
            self.state.traits.learn(user.traits)
        for user in users:
            row = self.viewers.get(user.user_id)
            if row is not None:
                self.records[row] = self.state.new_viewer(user)[0]

    def run(
        self,
        features_from_ms: int = 0,
        room: Room = MEMORY,
        progress: Progress | None = None,
        known_until_ms: Array | None = None,
        choose: Choose | None = None,
    ) -> Rows:
        """Replay everything; features are computed for impressions from `features_from_ms` on.

        The features are in `room`, so that memory does not grow with the log. With `known_until_ms` [impressions in
        time order] a row uses events strictly before that moment, aged to its own. With `choose` only those
        impressions have a row that it names.
        """
        index, columns = labelled(self.events, choose, room)
        featured = int(np.searchsorted(self.events.time_ms[index], features_from_ms))
        reads = len(index) - featured
        out = room.empty((reads, len(FEATURES)), np.float32)
        past = Histories(
            video=room.empty((reads, HISTORY), np.int32),
            signal=room.empty((reads, HISTORY), np.uint8),
            time_ms=room.empty((reads, HISTORY), np.int64),
            length=np.zeros(reads, np.int64),
        )
        e, read_at = self.events, index[featured:]
        known_ms = e.time_ms[read_at] if known_until_ms is None else known_until_ms[featured:]
        order, is_read = self._order(read_at, known_ms)
        asked = Reads(read_at, known_ms, np.lexsort((e.offset[read_at], known_ms)))
        self._replay(order, is_read, asked, out, past, progress)
        return Rows(
            viewer=e.viewer[index],
            video=e.video[index],
            author=e.author[index],
            time_ms=e.time_ms[index],
            position=e.position[index],
            surface=e.surface[index],
            propensity=e.propensity[index],
            play_ms=columns.pop("play_ms"),
            length_ms=columns.pop("length_ms"),
            labels=columns,
            features=out,
            past=past,
            featured=featured,
        )

    def _order(self, read_at: Array, known_ms: Array) -> tuple[Array, Array]:
        """Event index of every operation in order, and which of them are reads."""
        events = self.events
        at = np.concatenate([read_at, np.arange(len(events))])
        is_read = np.zeros(len(at), np.bool_)
        is_read[: len(read_at)] = True
        order = np.lexsort((events.offset[at], ~is_read, np.concatenate([known_ms, events.time_ms])))
        return at[order], is_read[order]

    def _replay(
        self,
        order: Array,
        is_read: Array,
        asked: Reads,
        out: Array,
        past: Histories,
        progress: Progress | None,
    ) -> None:
        reads = np.flatnonzero(is_read)
        stops = sorted({*reads[CHUNK::CHUNK].tolist(), *range(BLOCK, len(is_read), BLOCK), len(is_read)})
        room = min(CHUNK, max(len(reads), 1))
        blocks, viewers = empty_blocks(room, room), viewer_arrays(self.records)
        follows = follows_at(self.events, asked.at, asked.known_ms)
        chunk = Histories(*(np.zeros((room, *part.shape[1:]), part.dtype) for part in past))
        start = done = 0
        s = self.state
        for stop in stops:
            operations = self._operations(order[start:stop], is_read[start:stop])
            n = replay(
                operations, 0, stop - start, viewers, s.video_columns(), s.videos.counts, s.authors.counts,
                s.trends.counts, blocks, chunk,
            )  # fmt: skip
            if n:
                rows = asked.order[done : done + n]
                part = Blocks(*(block[:n] for block in blocks))
                out[rows] = matrix(self._reading(part, asked.at[rows], follows[rows]))
                for whole, read in zip(past, chunk, strict=True):
                    whole[rows] = read[:n]
                    read[:n] = 0
            start, done = stop, done + n
            if progress:
                progress(stop, len(is_read))

    def _operations(self, index: Array, is_read: Array) -> Operations:
        """Of these events, some of which are reads."""
        operations = self.events.take(index).in_regions(self.records).operations()
        operations.op[is_read] = OP["read"]
        return operations

    def _reading(self, blocks: Blocks, at: Array, follows: Array) -> Reading:
        table, events = self.state.table, self.events
        video, viewer = events.video[at], events.viewer[at]
        return Reading(
            blocks=blocks,
            now_ms=events.time_ms[at],
            upload_ms=table.upload_ms[video],
            length_ms=table.length_ms[video],
            language=table.language[video],
            region=table.region[video],
            cluster=table.cluster[video],
            profile=self.records["profile"][viewer],
            traits=self.records["traits"][viewer],
            follows=follows,
            surface=events.surface[at],
        )

    def packed(self, applied_us: int) -> dict[str, dict[str, bytes]]:
        """Every row of feature state by entity and id, as the stream driver would have left it."""
        s, table = self.state, self.state.table
        self._count_in_log_order()
        stamp_rows(s, self.events, self.records, applied_us)
        authors = table.authors.words[1:]
        counted = np.flatnonzero(s.trends.records["steps"].any(axis=1)).tolist()
        return {
            "viewer": dict(zip(self.viewers, pack_rows(self.records), strict=True)),
            "video": dict(zip(table.video_ids, s.videos.pack(range(len(table))), strict=True)),
            "author": dict(zip(authors, s.authors.pack(range(1, len(authors) + 1)), strict=True)),
            "trend": dict(zip(map(str, counted), s.trends.pack(counted), strict=True)),
        }

    def _count_in_log_order(self) -> None:
        """Count everything again as a stream does: late events of a log would else be rounded otherwise, and a row
        that serving starts from would not be what a replay of the log leads to."""
        self.forget()
        count_events(self.state, self.events, self.records)

    def forget(self) -> None:
        """Empty all state but the viewers' profiles, so that the log can be replayed again."""
        known = {name: self.records[name].copy() for name in ("profile", "traits")}
        self.records[:] = 0
        for name, codes in known.items():
            self.records[name] = codes
        for counters in (self.state.videos, self.state.authors, self.state.trends):
            counters.records[:] = 0

    def watches(self) -> tuple[Array, Array, Array, Array]:
        """All watches by (viewer, time): indptr [viewers+1], video, time_ms and history bits [watches]."""
        events = self.events
        bits, _ = attach(events, OP["watch"], OP["read"], room=self.room)
        index = np.flatnonzero((events.op == OP["watch"]) & (events.video >= 0))
        index = index[np.lexsort((events.offset[index], events.time_ms[index], events.viewer[index]))]
        counts = np.bincount(events.viewer[index], minlength=len(self.viewers))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        video, time_ms, signal = (self.room.empty(len(index), dtype) for dtype in (np.int32, np.int64, np.uint8))
        for span in blocks(len(index)):
            at = index[span]
            video[span], time_ms[span] = events.video[at], events.time_ms[at]
            signal[span] = bits_to_signal(events, at, bits[at])
        return indptr, video, time_ms, signal


def follows_at(events: EventColumns, at: Array, known_ms: Array | None = None) -> Array:
    """Whether the viewer of each event `at` followed its author strictly before it, or before known_ms. [at] bool"""
    is_follow = np.isin(events.op, [OP["follow"], OP["unfollow"]]) & (events.author > 0)
    index = np.concatenate([np.flatnonzero(is_follow), at])
    asks = np.zeros(len(index), np.bool_)
    asks[len(index) - len(at) :] = True
    pair = events.viewer[index].astype(np.int64) << 32 | events.author[index]
    moment = events.time_ms[index]
    if known_ms is not None:
        moment[len(index) - len(at) :] = known_ms
    order = np.lexsort((events.offset[index], ~asks, moment, pair))
    stands = np.where(asks[order], 0, np.where(events.op[index[order]] == OP["follow"], 1, -1))
    last = np.maximum.accumulate(np.where(stands != 0, np.arange(len(order)), -1))
    same = (last >= 0) & (pair[order] == pair[order[np.maximum(last, 0)]])
    following = same & (stands[np.maximum(last, 0)] > 0)
    answer = np.zeros(len(index), np.bool_)
    answer[order] = following
    return answer[len(index) - len(at) :]
