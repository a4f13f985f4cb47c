"""Training rows as Parquet, one object a day of serving: `training_rows/day=YYYY-MM-DD/rows.parquet`."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.arrays import Array
from core.errors import CorruptData, SchemaMismatch
from core.ports import BlobStore
from features.definitions import NAMES, schema_hash
from features.layout import DAY_MS, HISTORY
from features.logged import VIEWER_READ_DTYPE
from training.feedback.join import Outcome
from training.feedback.labels import labels_of, propensities_of, weights_of
from training.feedback.rules import RULES, JoinConfig

ROOT: Final = "training_rows"
LABEL: Final = "label_"
_SCHEMA, _RULES = b"feature_schema", b"rules"
_KEY: Final = re.compile(rf"{ROOT}/day=(\d{{4}}-\d\d-\d\d)/rows\.parquet")
_HISTORY: Final = ("history_video", "history_signal", "history_time_ms")


def day_name(time_ms: int) -> str:
    """The UTC day of a moment, YYYY-MM-DD."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


def day_start_ms(day: str) -> int:
    """The first millisecond of a day."""
    return int(datetime.fromisoformat(f"{day}T00:00+00:00").timestamp()) * 1000


def day_end_ms(day: str) -> int:
    """The first millisecond after a day."""
    return day_start_ms(day) + DAY_MS


def key_of(day: str) -> str:
    """The name of a day's rows in the BlobStore."""
    return f"{ROOT}/day={day}/rows.parquet"


async def days_written(blobs: BlobStore) -> list[str]:
    """The days whose rows are there, in order."""
    found = (_KEY.fullmatch(key) for key in await blobs.list(f"{ROOT}/day="))
    return sorted(match[1] for match in found if match)


def rows_as_bytes(outcomes: Sequence[Outcome], config: JoinConfig) -> bytes:
    """The Parquet file of a day; the same outcomes give the same bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows_table(outcomes, config), sink, compression="zstd")
    return bytes(sink.getvalue())


def rows_table(outcomes: Sequence[Outcome], config: JoinConfig) -> pa.Table:
    """One row for each outcome: who, what and where it was served, labels, weight, and what serving logged."""
    slates = [o.logged.slate for o in outcomes]
    labels, propensity = labels_of(outcomes), propensities_of(outcomes)
    columns: dict[str, Any] = {
        "slate_id": pa.array([s.slate_id for s in slates], pa.string()),
        "viewer_id": pa.array([s.viewer_id for s in slates], pa.string()),
        "session_id": pa.array([s.session_id for s in slates], pa.string()),
        "surface": pa.array([s.surface for s in slates], pa.string()),
        "bundle_id": pa.array([s.bundle_id for s in slates], pa.string()),
        "video_id": pa.array([s.video_ids[o.position] for s, o in zip(slates, outcomes, strict=True)], pa.string()),
        "source": pa.array([s.sources[o.position] for s, o in zip(slates, outcomes, strict=True)], pa.string()),
        "page": pa.array([s.page for s in slates], pa.int32()),
        "position": pa.array([o.position for o in outcomes], pa.int32()),
        "served_ms": pa.array([s.time_ms for s in slates], pa.int64()),
        "shown_ms": pa.array([o.shown_ms for o in outcomes], pa.int64()),
        "propensity": pa.array(propensity),
        "weight": pa.array(weights_of(propensity, config)),
        "play_ms": pa.array(labels.pop("play_ms")),
        "length_ms": pa.array(labels.pop("length_ms")),
        **{LABEL + name: pa.array(column) for name, column in labels.items()},
        **_logged(outcomes),
    }
    rules = repr((config.model_dump(), [(r.head, r.kinds, r.window_ms, r.left_at_once) for r in RULES]))
    return pa.table(columns).replace_schema_metadata({_SCHEMA: schema_hash().encode(), _RULES: rules.encode()})


def _logged(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The feature row that was served, declared features apart from the bundle's own, and the viewer's history."""
    features = np.stack([o.logged.declared[o.position] for o in outcomes]) if outcomes else np.zeros((0, len(NAMES)))
    viewers = np.concatenate([o.logged.viewer for o in outcomes]) if outcomes else np.zeros(0, VIEWER_READ_DTYPE)
    own = [o.logged.features[o.position, len(NAMES) :] for o in outcomes]
    return {
        "features": _fixed(features.astype(np.float32)),
        "bundle_features": pa.array(own, pa.list_(pa.float32())),
        "viewer_version": pa.array(viewers["version"]),
        "history_len": pa.array(viewers["history_len"]),
        **{name: _fixed(viewers[name]) for name in _HISTORY},
    }


def _fixed(values: Array) -> Any:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


async def read_rows(blobs: BlobStore, days: Sequence[str]) -> pa.Table:
    """The rows of days as one table. SchemaMismatch for rows under another feature schema, CorruptData for damage."""
    tables = []
    for day in days:
        key = key_of(day)
        try:
            table = pq.read_table(pa.BufferReader(await blobs.get(key)))
        except pa.ArrowInvalid as error:
            raise CorruptData(
                f"The training rows {key} cannot be read ({error}); delete them and join again."
            ) from error
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        if metadata.get(_SCHEMA) != schema_hash().encode():
            raise SchemaMismatch(f"The training rows {key} have features of another build; leave that day out.")
        tables.append(table.replace_schema_metadata(None))
    return pa.concat_tables(tables) if tables else rows_table([], JoinConfig())


def fixed_values(table: pa.Table, name: str, width: int) -> Array:
    """A column of fixed-size lists as an array. [rows, width]"""
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table[name].chunks]
    return np.concatenate(flat).reshape(-1, width) if flat else np.zeros((0, width), np.float32)


def history_of(table: pa.Table) -> tuple[Array, Array, Array, Array]:
    """The viewer's last watches when each row was served, as features.raw.Histories has them."""
    video, signal, time_ms = (fixed_values(table, name, HISTORY) for name in _HISTORY)
    return video, signal, time_ms, table["history_len"].to_numpy()
