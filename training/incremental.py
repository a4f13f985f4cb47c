"""Training that goes on from the served bundle: the newest events change its models, which do not begin anew."""

from pathlib import Path

import numpy as np

from core.errors import NothingNew
from core.manifest import Manifest
from training.config import TrainConfig
from training.cross import CrossFeatures
from training.head_sample import head_rows
from training.incremental_fit import IncrementalConfig, continue_heads, continue_retrieval
from training.incremental_towers import CannotContinue
from training.log_data import LogData
from training.parent import Parent, nothing_new
from training.pipeline import Fitted, ship, validation_metrics
from training.progress import Progress, silent
from training.publication import Publication
from training.repeatable import repeatable
from training.split import Split, day_start_ms
from training.stored_bundle import stored_bundle


def increment(
    data: LogData,
    parent: Parent,
    config: TrainConfig,
    home: Path,
    now_ms: int,
    progress: Progress = silent,
    how: Publication | None = None,
    increments: IncrementalConfig | None = None,
) -> tuple[Manifest, Fitted]:
    """Continue the parent on what is new, write the bundle and publish it.

    NothingNew where there is too little, CannotContinue where only a full training helps."""
    own = increments or IncrementalConfig()
    if parent.manifest.increments >= own.most:
        raise CannotContinue(f"it is increment {parent.manifest.increments} since the last full training")
    fitted = continue_fit(data, parent, config, own, home / "scratch", progress)
    return ship(data, config, home, fitted, now_ms, progress, how), fitted


def continue_fit(
    data: LogData,
    parent: Parent,
    config: TrainConfig,
    own: IncrementalConfig,
    scratch: Path,
    progress: Progress = silent,
    test_day: int | None = None,
) -> Fitted:
    """Replay, towers, heads, all from where the parent ended; with `test_day` nothing of that day or later is learned
    from."""
    repeatable(config.threads)
    split = split_of_new(data, parent.manifest, own, config.utc_offset_h, test_day)
    table, watches = data.state.table, data.interactions()
    bundle = stored_bundle(parent.folder, len(table))
    rows, weights = head_rows(data, split, config, scratch, progress)
    # The parent's towers have seen none of the new rows: what they say of them is what serving would have heard.
    cross = CrossFeatures(bundle.retrieval, table, split.heads_from_ms)
    ranking = continue_heads(rows, split, cross, data.driver.records, bundle.ranker, config, own, progress, weights)
    serving = continue_retrieval(bundle.retrieval, watches, table, split, config, own, progress)
    served = CrossFeatures(serving, table, split.test_from_ms)
    metrics = validation_metrics(ranking, rows, cross, data.driver.records)
    metrics = {name: value for name, value in metrics.items() if np.isfinite(value)}
    metrics |= {f"blend/{name}": weight for name, weight in bundle.blend.weights.items()}
    curves = {f"curve/{name}/{head.metric}": head.curve for name, head in ranking.trained.heads.items() if head.curve}
    curves["curve/towers_served/loss"] = tuple(record.loss for record in serving.curve)
    return Fitted(
        rows, split, bundle.retrieval, cross, serving, served, bundle.blend, ranking, curves, metrics, parent.manifest
    )  # fmt: skip


def split_of_new(
    data: LogData, parent: Manifest, own: IncrementalConfig, utc_offset_h: float, test_day: int | None = None
) -> Split:
    """What came after the parent's data, cut into a part that trains and a newest part; NothingNew where it is too
    little."""
    events = data.events
    shown = np.sort(events.time_ms[(events.surface > 0)])
    end = int(shown[-1]) + 1 if test_day is None else day_start_ms(test_day, utc_offset_h)
    new = shown[(shown >= parent.data_until_ms) & (shown < end)]
    if len(new) < own.min_rows:
        raise NothingNew(nothing_new(parent, len(new), own.min_rows))
    valid_from = int(new[int(len(new) * (1 - own.valid_share))])
    until = end if test_day is None else day_start_ms(test_day + 1, utc_offset_h)
    return Split(int(shown[0]), parent.data_until_ms, valid_from, end, until)
