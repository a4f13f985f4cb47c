"""Feature rows of logged slates, computed again from states as they were, by the kernels and functions of serving."""

from collections.abc import Sequence

import numpy as np

from core.arrays import Array, Float32
from core.video_table import VideoTable
from features.definitions import matrix
from features.layout import COUNTS_DTYPE, VIEWER_DTYPE
from features.logged import LoggedSlate
from features.online import blocks_of, reading_of
from features.skew.states import StateKey, States
from features.state import FeatureState


class Keys:
    """Which states each row of a slate was read from; `authors` are the author ids by code."""

    def __init__(self, logged: LoggedSlate, authors: Sequence[str]) -> None:
        read, slate = logged.read, logged.slate
        self.viewer = StateKey("viewer", slate.viewer_id, int(logged.viewer["version"][0]))
        words = [authors[code] if 0 <= code < len(authors) else "" for code in read["author"].tolist()]
        self.video = _keys("video", slate.video_ids, read["video_version"])
        self.author = _keys("author", words, read["author_version"])
        self.trend = _keys("trend", [str(row) for row in read["trend"].tolist()], read["trend_version"])

    def all(self) -> set[StateKey]:
        """Every state that events have touched."""
        return {key for key in (self.viewer, *self.video, *self.author, *self.trend) if key.version > 0}

    def of_row(self, row: int) -> tuple[StateKey, ...]:
        """The states behind one row."""
        keys = (self.viewer, self.video[row], self.author[row], self.trend[row])
        return tuple(key for key in keys if key.version > 0)


def _keys(entity: str, ids: Sequence[str], versions: Array) -> list[StateKey]:
    return [StateKey(entity, *pair) for pair in zip(ids, versions.tolist(), strict=True)]


class Recomputer:
    """Puts states where serving had them and reads them as serving did; `table` is the catalogue as it was."""

    def __init__(self, table: VideoTable) -> None:
        self._state = FeatureState(table)

    def features(self, logged: LoggedSlate, keys: Keys, states: States) -> Float32:
        """The declared features of every row; NaN where the catalogue has no such video. [videos, features] float32"""
        self._state.ensure()
        rows = self._state.table.rows(logged.slate.video_ids)
        record = self._viewer(logged, keys, states)
        out = np.full((len(rows), logged.declared.shape[1]), np.nan, np.float32)
        for part in _settled_apart(rows, logged.read):
            self._place(logged.read, rows, part, keys, states)
            out[part] = self._read(logged, record, rows[part], part)
        return out

    def _viewer(self, logged: LoggedSlate, keys: Keys, states: States) -> Array:
        """Their record as of its version, under the profile that the request had. [1] VIEWER_DTYPE"""
        record = np.zeros(1, VIEWER_DTYPE)
        if keys.viewer in states:
            record = np.frombuffer(states[keys.viewer].row, VIEWER_DTYPE).copy()
        for name in ("profile", "traits"):
            record[name] = logged.viewer[name]
        return record

    def _place(self, read: Array, rows: Array, part: Array, keys: Keys, states: States) -> None:
        s, nothing = self._state, np.zeros(1, COUNTS_DTYPE)[0]
        for counters, at, wanted in (
            (s.videos, rows, keys.video),
            (s.authors, read["author"], keys.author),
            (s.trends, read["trend"], keys.trend),
        ):
            counters.ensure(int(at[part].max()) + 1)
            for row in part.tolist():
                state = states.get(wanted[row])
                counters.records[at[row]] = np.frombuffer(state.row, COUNTS_DTYPE)[0] if state else nothing

    def _read(self, logged: LoggedSlate, record: Array, rows: Array, part: Array) -> Float32:
        s, read, now_ms = self._state, logged.read[part], int(logged.viewer["now_ms"][0])
        blocks = blocks_of(s, record, rows, now_ms)
        follows = read["follows"].astype(np.bool_)
        return matrix(reading_of(s, record, rows, now_ms, follows, int(read["surface"][0]), blocks))


def _settled_apart(rows: Array, read: Array) -> list[Array]:
    """Row numbers in parts within which every author and trend has one version: else (they were written while the
    request read them) each row alone. Unknown videos are left out."""
    known = np.flatnonzero(rows >= 0)
    if not len(known):
        return []
    for name in ("author", "trend"):
        pairs = np.unique(np.stack([read[name], read[f"{name}_version"]]), axis=1)[0]
        if len(np.unique(pairs)) < len(pairs):
            return [np.array([row]) for row in known.tolist()]
    return [known]
