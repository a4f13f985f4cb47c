"""Feast's offline store over a folder of Parquet snapshots: one column-pruned read and one sorted join for a view.

Feast's own file store reads every column of every snapshot, drops rows older than the first one, and fails on an
entity without a snapshot when there are several files; here each entity row comes back, with nulls where nothing
was known yet. What reads whole tables (materialisation) stays Feast's.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from feast import FeatureView
from feast.infra.offline_stores.dask import DaskOfflineStore, DaskOfflineStoreConfig, DaskRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import RepoConfig

from core.errors import InputError, NotFound

_MOMENT: Final = "event_timestamp"
_TYPE: Final = "backends.feast_offline.SnapshotOfflineStore"


class SnapshotOfflineStoreConfig(DaskOfflineStoreConfig):
    """Nothing to choose: the sources say where their files are."""

    type: Literal["backends.feast_offline.SnapshotOfflineStore"] = _TYPE  # type: ignore[assignment]
    """Which offline store Feast loads."""


class SnapshotRetrievalJob(DaskRetrievalJob):
    """A join that is computed when its table is asked for."""

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self.evaluation_function().to_pandas()
        return frame

    def _to_arrow_internal(self, timeout: int | None = None) -> Any:
        return self.evaluation_function()


class SnapshotOfflineStore(DaskOfflineStore):
    """Point-in-time joins over snapshot files."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(  # type: ignore[override]
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
        **kwargs: Any,
    ) -> RetrievalJob:
        """For each row of `entity_df` (keys, `event_timestamp`), in its order, the state as of that moment; with
        `filter_by_created_timestamp` only states that had been created by then."""
        if not isinstance(entity_df, pd.DataFrame) or _MOMENT not in entity_df.columns:
            raise InputError(f"A point-in-time join needs a data frame with keys and a column {_MOMENT}.")
        moments = pd.to_datetime(entity_df[_MOMENT], utc=True)

        def evaluate() -> Any:
            joined = pa.Table.from_pandas(entity_df.assign(**{_MOMENT: moments}), preserve_index=False)
            for view in feature_views:
                repo = Path(config.repo_path or ".")
                joined = _append(joined, view, feature_refs, repo, full_feature_names, filter_by_created_timestamp)
            return joined

        return SnapshotRetrievalJob(
            evaluation_function=evaluate,
            full_feature_names=full_feature_names,
            repo_path=str(config.repo_path),
            on_demand_feature_views=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            metadata=_metadata(feature_refs, list(entity_df.columns), moments),
        )


def _metadata(features: list[str], columns: list[str], moments: "pd.Series[Any]") -> RetrievalMetadata:
    first, last = moments.min(), moments.max()
    return RetrievalMetadata(features, [c for c in columns if c != _MOMENT], _datetime(first), _datetime(last))


def _datetime(moment: Any) -> datetime | None:
    found: datetime | None = None if pd.isna(moment) else moment.to_pydatetime()
    return found


def _append(
    joined: Any, view: FeatureView, refs: Sequence[str], repo: Path, full_names: bool, created_cut_off: bool
) -> Any:
    """The table with a view's requested features as of each row's moment."""
    alias = str(view.projection.name_to_use())  # type: ignore[no-untyped-call]
    names = [name for owner, _, name in (ref.partition(":") for ref in refs) if owner == alias]
    source_key = view.entity_columns[0].name
    key = view.projection.join_key_map.get(source_key, source_key)
    wanted = pd.DataFrame({"key": joined[key].to_pandas().astype(str), "at": _micros(joined[_MOMENT])})
    states = _snapshots(view, repo, source_key, names, wanted["key"].unique().tolist())
    found = states.take(_last_before(wanted, states, view, source_key, created_cut_off))
    for name in names:
        joined = joined.append_column(f"{alias}__{name}" if full_names else name, found[name])
    return joined


def _snapshots(view: FeatureView, repo: Path, key: str, names: Sequence[str], ids: list[str]) -> Any:
    """The stored states of these ids, oldest first."""
    source = view.batch_source
    folder = repo / source.path  # type: ignore[union-attr]
    if not folder.is_dir():
        raise NotFound(f"There is no snapshot of {view.name} in {folder}; `foryou train` writes one.")
    times = [source.timestamp_field, source.created_timestamp_column]  # type: ignore[union-attr]
    columns = list(dict.fromkeys([key, *times, *names]))
    table = ds.dataset(folder, format="parquet").to_table(columns=columns, filter=pc.field(key).isin(ids))
    return table.sort_by([(time, "ascending") for time in times])


def _last_before(wanted: pd.DataFrame, states: Any, view: FeatureView, key: str, created_cut_off: bool) -> Any:
    """For each wanted key and moment the last state that is not newer (nor older than the view's ttl), else null.

    `states` are in order of (event time, created). One is visible from its event time on, under the cut-off from its
    creation on where that is later; of those visible the last in order counts.
    """
    source = view.batch_source
    event = _micros(states[source.timestamp_field])  # type: ignore[union-attr]
    visible = event
    if created_cut_off:
        visible = np.maximum(event, _micros(states[source.created_timestamp_column]))  # type: ignore[union-attr]
    stored = pd.DataFrame({"key": states[key].to_pandas().astype(str), "at": visible, "state": range(len(event))})
    stored = stored.sort_values("at", kind="stable")
    stored["state"] = stored.groupby("key")["state"].cummax()
    left = wanted.assign(row=range(len(wanted))).sort_values("at", kind="stable")
    matched = pd.merge_asof(left, stored, on="at", by="key").sort_values("row")
    found = matched["state"].astype("Int64")
    if view.ttl:
        age_us = matched["at"] - found.map(event)
        found = found.mask(age_us > int(view.ttl.total_seconds() * 1e6))
    return pa.array(found, pa.int64())


def _micros(times: Any) -> Any:
    return times.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_pandas()
