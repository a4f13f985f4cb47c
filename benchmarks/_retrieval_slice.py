"""The KuaiRand slice as watches and a catalogue: histories with the times that the importer gives, and impressions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from candidate_gen.interactions import (
    CLICK,
    LIKE,
    LONG_VIEW,
    NEGATIVE,
    SKIP,
    STRONG,
    Interactions,
    interactions_of,
)
from candidate_gen.recall import HeldOut, held_out
from core.arrays import Array, Bool, Int32
from core.video_table import VideoTable, Vocabulary
from foryou.importers.history import SKIP_MS, match_from_end

_FIRST_MS = 1_649_347_200_000  # 8 April, midnight in China
_FIRST_TEST_DATE = 20220426
_FIRST_DATE = 20220425
_UNPLACED = 1_000  # a long view from before the sequence of the last watches
_MARKS = (
    ("long_view", LONG_VIEW), ("is_like", LIKE), ("is_click", CLICK), ("is_hate", NEGATIVE),
    ("is_comment", STRONG), ("is_follow", STRONG), ("is_forward", STRONG),
)  # fmt: skip
_TRAITS = (
    "user_active_degree", "is_live_streamer", "is_video_author", "follow_user_num_range", "fans_user_num_range",
    "friend_user_num_range", "register_days_range", "onehot_feat0", "onehot_feat1", "onehot_feat6", "onehot_feat9",
    "onehot_feat10", "onehot_feat11", "onehot_feat12", "onehot_feat13", "onehot_feat14", "onehot_feat15",
    "onehot_feat16", "onehot_feat17",
)  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """Watches [n] with the `date` of impressions (0 = history) and `back`, a history watch's place from its end."""

    viewer: Array
    video: Array
    time_ms: Array
    signal: Array
    date: Array
    back: Array
    profile: Int32
    table: VideoTable


@dataclass(frozen=True)
class Part:
    """One side of the protocol: what may be learned from, the moment after it, and what is to be found."""

    watches: Interactions
    now_ms: int
    held: HeldOut
    viewers: Int32


def read_slice(folder: Path) -> Slice:
    """The whole slice; viewers and videos keep their numbers."""
    columns = [np.concatenate(pair) for pair in zip(_histories(folder), _impressions(folder), strict=True)]
    return Slice(*columns, profile=_profiles(folder), table=_table(folder))


def tuning_part(rows: Slice, limit: int = 0, seed: int = 0) -> Part:
    """Learned from all but the last three watches of each history, found in those and on 25 April."""
    past = (rows.date == 0) & (rows.back >= 3)
    return _part(rows, past, (rows.date <= _FIRST_DATE) & ~past, limit, seed)


def test_part(rows: Slice) -> Part:
    """Learned from the histories and 25 April, found on 26-30 April."""
    past = rows.date <= _FIRST_DATE
    return _part(rows, past, ~past, 0, 0)


def _part(rows: Slice, past: Bool, later: Bool, limit: int, seed: int) -> Part:
    pairs = rows.viewer.astype(np.int64) * len(rows.table) + rows.video
    liked = later & ((rows.signal & LONG_VIEW) > 0)
    rng = np.random.default_rng(seed)
    held, viewers = held_out(pairs[past], np.unique(pairs[liked]), len(rows.table), limit, rng)
    sizes = tuple(int(size) for size in rows.profile.max(axis=0) + 1)
    chosen = [column[past] for column in (rows.viewer, rows.video, rows.time_ms, rows.signal)]
    watches = interactions_of(*chosen, rows.profile, sizes)
    return Part(watches, int(rows.time_ms[past].max()) + 1, held, viewers)


def _histories(folder: Path) -> tuple[Array, ...]:
    table = pq.read_table(folder / "histories_0408_0424.parquet")
    names = ("user_id", "history_len", "last_time_ms", "watch_seq", "long_watch_seq", "like_seq")
    rows: list[tuple[int, ...]] = []
    for cells in zip(*(table[name].to_pylist() for name in names), strict=True):
        rows += _history(*cells)
    return tuple(np.array(rows, np.int64).T)


def _history(
    user: int, count: int, last_ms: int, watched: Sequence[int], long: Sequence[int], liked: Sequence[int]
) -> list[tuple[int, ...]]:
    """Long views older than the sequence lie evenly before it; the sequence's times are the importer's."""
    places = [match_from_end([str(v) for v in watched], [str(v) for v in part]) for part in (long, liked)]
    (long_at, older), (liked_at, _) = places
    step = max(1, (last_ms - _FIRST_MS) // max(count, len(watched)))
    start = last_ms - step * (len(watched) - 1)
    rows = [
        (user, long[at], _FIRST_MS + (start - _FIRST_MS) * (at + 1) // (older + 1), LONG_VIEW, 0, _UNPLACED)
        for at in range(older)
    ]
    for at, video in enumerate(watched):
        marks = LONG_VIEW * (at in long_at) | LIKE * (at in liked_at)
        rows.append((user, video, start + step * at, marks, 0, len(watched) - 1 - at))
    return rows


def _impressions(folder: Path) -> tuple[Array, ...]:
    table = pq.read_table(folder / "impressions_0425_0430.parquet")
    table = table.group_by(table.column_names, use_threads=False).aggregate([])  # exact duplicates once

    def column(name: str) -> Array:
        return np.asarray(pc.fill_null(table[name], 0), np.int64)

    signal = np.zeros(len(table), np.int64)
    for name, bit in _MARKS:
        signal |= np.where(column(name) > 0, bit, 0)
    signal |= np.where((column("play_time_ms") < SKIP_MS) & (column("long_view") == 0), SKIP, 0)
    from_log = (column("user_id"), column("video_id"), column("time_ms"), signal, column("date"))
    return (*from_log, np.full(len(table), -1, np.int64))


def _profiles(folder: Path) -> Int32:
    table = pq.read_table(folder / "users.parquet").sort_by("user_id")
    columns = []
    for name in _TRAITS:
        words = [str(word) for word in table[name].to_pylist()]
        vocabulary = Vocabulary(words)
        columns.append(vocabulary.codes(words))
    return np.stack(columns, axis=1)


def _table(folder: Path) -> VideoTable:
    table = pq.read_table(folder / "videos.parquet").sort_by("video_id")
    size = len(table)
    words = {name: [str(word or "") for word in table[column].to_pylist()] for name, column in _WORDS}
    words |= {"topic": [tags.split(",")[0] for tags in words["topic"]], "language": [""] * size, "region": [""] * size}
    uploads = [np.datetime64(day, "ms").astype(np.int64) if day else 0 for day in table["upload_dt"].to_pylist()]
    lengths = np.asarray(pc.fill_null(table["video_duration"], 0), np.float64).astype(np.int64)
    catalogue = VideoTable(size)
    ids = [str(video) for video in table["video_id"].to_pylist()]
    nothing = np.zeros((size, 0), np.float32)
    catalogue.extend(ids, words, lengths, np.array(uploads), ["public"] * size, nothing)
    return catalogue


_WORDS = (("author", "author_id"), ("topic", "tag"), ("cluster", "upload_type"))
