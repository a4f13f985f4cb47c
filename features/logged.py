"""What a served slate logs of the raw state that its feature rows were computed from, so that anyone can compute them
again: which version of each packed row was read, and the context that is no state.

`READ_DTYPE` has one record for each served video, `VIEWER_READ_DTYPE` one for the slate. A version is the offset of the
last event in the row that was read (0: no event had touched it yet), `applied_us` when that event was applied.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array, Float32, unpack
from core.errors import SchemaMismatch
from core.slate import Slate, SlateDetail
from features.definitions import NAMES
from features.layout import HISTORY, PROFILE, TRAITS, VIEWER_DTYPE

READ_DTYPE: Final = np.dtype(
    [
        ("video_version", np.int64),
        ("author_version", np.int64),
        ("trend_version", np.int64),
        ("video_applied_us", np.int64),
        ("author_applied_us", np.int64),
        ("trend_applied_us", np.int64),
        ("author", np.int32),
        ("trend", np.int32),
        ("surface", np.int32),
        ("follows", np.uint8),
    ]
)
# The history is not needed for the declared features, whose viewer row is found by its version, but by the cross
# features, which a later fit computes again with towers of its own.
VIEWER_READ_DTYPE: Final = np.dtype(
    [
        ("version", np.int64),
        ("applied_us", np.int64),
        ("now_ms", np.int64),
        ("profile", np.int32, (len(PROFILE),)),
        ("traits", np.int32, (TRAITS,)),
        ("history_len", np.int64),
        ("history_video", np.int32, (HISTORY,)),
        ("history_signal", np.uint8, (HISTORY,)),
        ("history_time_ms", np.int64, (HISTORY,)),
    ]
)
READ, VIEWER_READ = "read", "viewer_read"


def viewer_read(record: Array, now_ms: int) -> Array:
    """What to log of the viewer: the parts of their record [1] VIEWER_DTYPE, and the moment. [1] VIEWER_READ_DTYPE"""
    logged = np.zeros(1, VIEWER_READ_DTYPE)
    for name in VIEWER_READ_DTYPE.names or ():
        if name != "now_ms":
            logged[name] = record[name]
    logged["now_ms"] = now_ms
    return logged


@dataclass(frozen=True, slots=True)
class LoggedSlate:
    """A slate with what was logged beside it; first dimension: served videos, `viewer` has one record.

    `features` [videos, features] float32 begins with the declared features; what follows belongs to the bundle.
    """

    slate: Slate
    features: Float32
    rows: Array
    read: Array
    viewer: Array

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def declared(self) -> Float32:
        """The declared features alone. [videos, features] float32"""
        return self.features[:, : len(NAMES)]

    def viewer_record(self) -> Array:
        """A record that has what was logged and nothing else. [1] VIEWER_DTYPE"""
        record = np.zeros(1, VIEWER_DTYPE)
        for name in VIEWER_READ_DTYPE.names or ():
            if name != "now_ms":
                record[name] = self.viewer[name]
        return record


def logged_slate(slate: Slate, detail: SlateDetail | None) -> LoggedSlate | None:
    """What the slate logged; None where it served nothing, or was logged without its reads.

    SchemaMismatch where it was logged under another layout, CorruptData for a damaged detail.
    """
    if detail is None or not slate.video_ids:
        return None
    arrays, _ = unpack(detail.served)
    if READ not in arrays or VIEWER_READ not in arrays:
        return None
    read, viewer = arrays[READ], arrays[VIEWER_READ]
    if read.dtype != READ_DTYPE or viewer.dtype != VIEWER_READ_DTYPE or arrays["features"].shape[1] < len(NAMES):
        raise SchemaMismatch(f"Slate {slate.slate_id} was logged under another layout; read it with the build of then.")
    return LoggedSlate(slate, arrays["features"], arrays["rows"], read, viewer)
