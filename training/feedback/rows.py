"""Joined rows in the form that a fit takes: the features that were served, not computed again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from core.arrays import Float32
from core.errors import InputError
from core.video_table import VideoTable, Vocabulary
from features.dataset import Rows
from features.definitions import NAMES
from features.raw import Histories
from training.feedback.files import LABEL, fixed_values, history_of
from training.split import Split


@dataclass(frozen=True, slots=True)
class LoggedRows:
    """Rows in the order of serving, and what each of them weighs [rows]."""

    rows: Rows
    weights: Float32

    def split(self, split: Split, valid_share: float) -> Split:
        """The split with the heads' window where these rows are: towers learn before the first of them, the last
        `valid_share` stop and calibrate. InputError where the rows leave nothing to learn from."""
        time_ms = self.rows.time_ms[self.rows.time_ms < split.test_from_ms]
        if len(time_ms) < 2:
            raise InputError(f"Only {len(time_ms)} joined rows lie before the test day; train without --logged.")
        valid_from = int(time_ms[int(len(time_ms) * (1 - valid_share))])
        return replace(split, heads_from_ms=int(time_ms[0]), valid_from_ms=valid_from)


def training_rows(table: pa.Table, videos: VideoTable, viewers: Mapping[str, int], surfaces: Vocabulary) -> LoggedRows:
    """Joined rows as training takes them; those of unknown viewers or videos are left out."""
    video = videos.rows(table["video_id"].to_pylist())
    viewer = np.array([viewers.get(name, -1) for name in table["viewer_id"].to_pylist()], np.int32)
    served_ms = table["served_ms"].to_numpy()
    keep = np.flatnonzero((video >= 0) & (viewer >= 0))
    keep = keep[np.argsort(served_ms[keep], kind="stable")]
    labels = {name.removeprefix(LABEL): table[name].to_numpy()[keep] for name in table.column_names if LABEL in name}
    rows = Rows(
        viewer=viewer[keep],
        video=video[keep],
        author=videos.author[video[keep]],
        time_ms=served_ms[keep],
        position=table["position"].to_numpy()[keep],
        surface=surfaces.codes(table["surface"].to_pylist())[keep],
        propensity=np.nan_to_num(table["propensity"].to_numpy()[keep], nan=1.0),
        play_ms=table["play_ms"].to_numpy()[keep],
        length_ms=table["length_ms"].to_numpy()[keep],
        labels=labels,
        features=fixed_values(table, "features", len(NAMES))[keep],
        past=Histories(*(part[keep] for part in history_of(table))),
        featured=0,
    )
    return LoggedRows(rows, table["weight"].to_numpy()[keep])
