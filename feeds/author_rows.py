"""Who published what, newest first: the videos of any authors from the catalogue in memory."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from core.arrays import Int32
from core.video_table import PUBLIC, VideoTable

Place = tuple[int, str]
"""A video's place in order of time: when it was uploaded (Unix ms), and its id where two share a moment."""

_FIRST_WIDTH: Final = 32
_MOST_FRESH: Final = 2_000


class AuthorRows:
    """Rows of the table by author: those that it had when it was last sorted in order of time, the few since aside."""

    def __init__(self, table: VideoTable) -> None:
        self.table = table
        self._moved, self._seen = 0, 0
        self._rows, self._starts = np.zeros(0, np.int32), np.zeros(1, np.int64)
        self._fresh: dict[int, list[int]] = defaultdict(list)
        self._sort()

    def newest(self, authors: Int32, limit: int, below: Place | None = None, region: str | None = None) -> Int32:
        """The `limit` newest public videos of these authors (codes) that stand below a place, in strict order: those
        that may be shown in the region, or in any where it is None.

        Each author's newest few are looked at first, and four times as many until no other can be among those chosen.
        [<= limit] int32
        """
        self._follow()
        authors = np.unique(authors)
        width = max(2 * limit, _FIRST_WIDTH)
        while True:
            rows, hidden_ms = self._looked_at(authors, width)
            chosen = self._chosen(rows, limit, below, region)
            enough = len(chosen) == limit and int(self.table.upload_ms[chosen[-1]]) > hidden_ms
            if enough or hidden_ms < 0:
                return chosen
            width *= 4

    def place(self, row: int) -> Place:
        """The row's place."""
        return int(self.table.upload_ms[row]), self.table.video_ids[row]

    def _looked_at(self, authors: Int32, width: int) -> tuple[Int32, int]:
        """The last `width` rows of each author and all fresh ones; the newest time of the rest, -1 for none."""
        known = authors[authors < len(self._starts) - 1]
        starts, ends = self._starts[known], self._starts[known + 1]
        begins = np.maximum(starts, ends - width)
        lengths = ends - begins
        offsets = np.repeat(begins - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        rows = self._rows[offsets + np.arange(lengths.sum())]
        cut = begins[begins > starts]
        hidden_ms = int(self.table.upload_ms[self._rows[cut - 1]].max()) if len(cut) else -1
        fresh = [row for author in authors.tolist() for row in self._fresh.get(author, ())]
        return np.concatenate((rows, np.asarray(fresh, np.int32))), hidden_ms

    def _chosen(self, rows: Int32, limit: int, below: Place | None, region: str | None) -> Int32:
        upload_ms = self.table.upload_ms
        rows = rows[self.table.visibility[rows] == PUBLIC]
        if region is not None:
            rows = rows[self.table.visibility_in(rows, region) == PUBLIC]
        if below is not None:
            earlier, same = rows[upload_ms[rows] < below[0]], rows[upload_ms[rows] == below[0]].tolist()
            rows = np.concatenate((earlier, np.asarray([r for r in same if self.place(r) < below], np.int32)))
        if len(rows) > 2 * limit:  # ties can make it more than `limit`
            times = upload_ms[rows]
            rows = rows[times >= np.partition(times, len(rows) - limit)[len(rows) - limit]]
        return np.asarray(sorted(rows.tolist(), key=self.place, reverse=True)[:limit], np.int32)

    def _follow(self) -> None:
        """Take in what the table grew by."""
        if self.table.moved != self._moved or len(self.table) - len(self._rows) > _MOST_FRESH + len(self._rows) // 8:
            self._sort()
        for row in range(self._seen, len(self.table)):
            self._fresh[int(self.table.author[row])].append(row)
        self._seen = len(self.table)

    def _sort(self) -> None:
        table = self.table
        self._moved, self._seen = table.moved, len(table)
        self._rows = np.lexsort((table.upload_ms, table.author)).astype(np.int32)
        counts = np.bincount(table.author, minlength=len(table.authors))
        self._starts = np.concatenate(([0], np.cumsum(counts)))
        self._fresh.clear()


def author_codes(table: VideoTable, author_ids: Sequence[str]) -> Int32:
    """The codes of authors who have published something. [<= authors] int32"""
    codes = table.authors.codes(author_ids)
    return np.asarray(codes[codes > 0], np.int32)
