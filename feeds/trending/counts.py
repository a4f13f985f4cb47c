"""Counts as columns: what the state of one partition, or of all of them, says for one window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array, Int32, Int64, pack, unpack
from core.errors import CorruptData, SchemaMismatch
from core.trends import PointsRow, TrendState, WindowRow
from feeds.trending.config import HOURS, LONGEST

WINDOWS: Final = (*HOURS, "points")  # `points`: the raw ones, by hour
_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class Counts:
    """One row for each video and region (and hour, for points): places in the two lists of words, and int64 columns.

    `amounts` [rows, 3] are units of views, likes and shares with `hour` the last in which anything counts, or [rows, 1]
    the points of `hour`. `hours` is the hour up to which they were counted.
    """

    hours: int
    video_ids: list[str]
    regions: list[str]
    video: Int32
    region: Int32
    hour: Int64
    amounts: Int64

    def __len__(self) -> int:
        return len(self.video)


def read_counts(state: TrendState, window: str, hour: int) -> Counts:
    """The counts of a window that ends with `hour`."""
    if window == "points":
        points = state.points(hour - LONGEST, hour)
        return _columns(hour, points, [[row.points] for row in points], 1)
    rows = state.window(hour - _hours(window), hour)
    return _columns(hour, rows, [[row.views, row.likes, row.shares] for row in rows], 3)


def _hours(window: str) -> int:
    return next(hours for name, hours in HOURS.items() if name == window)


def _columns(
    hours: int, rows: Sequence[WindowRow] | Sequence[PointsRow], amounts: list[list[int]], width: int
) -> Counts:
    videos, regions = dict[str, int](), dict[str, int]()
    video = np.fromiter((videos.setdefault(row.video_id, len(videos)) for row in rows), np.int32, len(rows))
    region = np.fromiter((regions.setdefault(row.region, len(regions)) for row in rows), np.int32, len(rows))
    hour = np.fromiter((row.hour for row in rows), np.int64, len(rows))
    return Counts(
        hours, list(videos), list(regions), video, region, hour, np.array(amounts, np.int64).reshape(-1, width)
    )


def merged(parts: Sequence[Counts], width: int) -> Counts:
    """The counts of several partitions as one; a video may then have several rows for a region."""
    videos, regions = dict[str, int](), dict[str, int]()
    video, region = [], []
    for part in parts:
        video.append(_recoded(part.video_ids, videos)[part.video])
        region.append(_recoded(part.regions, regions)[part.region])
    if not parts:
        return _columns(0, [], [], width)
    return Counts(
        max(part.hours for part in parts), list(videos), list(regions), np.concatenate(video), np.concatenate(region),
        np.concatenate([part.hour for part in parts]), np.concatenate([part.amounts for part in parts]),
    )  # fmt: skip


def _recoded(words: list[str], codes: dict[str, int]) -> Int32:
    return np.fromiter((codes.setdefault(word, len(codes)) for word in words), np.int32, len(words))


def encode_counts(counts: Counts) -> bytes:
    """As an archive without pickles."""
    columns = {name: getattr(counts, name) for name in ("video", "region", "hour", "amounts")}
    words = {"video_ids": _text(counts.video_ids), "regions": _text(counts.regions)}
    return pack(columns | words, {"schema": _SCHEMA, "hours": counts.hours})


def decode_counts(raw: bytes) -> Counts:
    """What `encode_counts` was given; SchemaMismatch for a newer version's, CorruptData for anything else."""
    arrays, document = unpack(raw)
    if document.get("schema") != _SCHEMA:
        raise SchemaMismatch(f"Counts of Trending have schema {document.get('schema')}, this build reads {_SCHEMA}.")
    try:
        words = {name: _words(arrays.pop(name)) for name in ("video_ids", "regions")}
        counts = Counts(hours=int(document["hours"]), **words, **arrays)  # type: ignore[arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData(f"Counts of Trending of {len(raw)} bytes cannot be read ({error!r}).") from error
    return counts


def _text(words: list[str]) -> Array:
    return np.frombuffer("\0".join(words).encode() + b"\0" * bool(words), np.uint8)


def _words(raw: Array) -> list[str]:
    return raw.tobytes().decode().split("\0")[:-1]
