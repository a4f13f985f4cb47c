"""What happens to a bundle once it is written: it becomes the one that is served, and its run is recorded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.manifest import Manifest
from training.bundle_writer import crown
from training.config import TrainConfig
from training.gates import GateRefused, judge
from training.log_data import LogData
from training.run_record import plots_of, run_of
from training.tracking import Tracker

if TYPE_CHECKING:
    from training.pipeline import Fitted


def unheard(sentence: str) -> None:
    """For callers that show nothing."""


@dataclass(frozen=True, slots=True)
class Publication:
    """How a run is published: `uri` names MLflow's server (empty: SQLite under the home), `force` crowns a bundle that
    the gates refuse, `tell` shows a person what went otherwise than usual; `tags` and `metrics` go with the record,
    which a trial does without."""

    uri: str = ""
    force: bool = False
    tell: Callable[[str], None] = unheard
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    recorded: bool = True


def publish(
    home: Path,
    data: LogData,
    config: TrainConfig,
    fitted: "Fitted",
    manifest: Manifest,
    now_ms: int,
    how: Publication,
) -> None:
    """Judge the bundle, crown it and record its run; GateRefused, after the record, where it is not crowned."""
    bundles = home / "bundles"
    verdict = judge(bundles, manifest.bundle_id, data, fitted)
    crowned = how.force or not verdict.failed
    if crowned:
        crown(bundles, manifest.bundle_id)
    if how.recorded:
        record(home, data, config, fitted, manifest, now_ms, how, champion=crowned)
    if not crowned:
        raise GateRefused(verdict.sentence)
    if verdict.failed:
        how.tell(f"Served although a gate failed: {'; '.join(gate.text for gate in verdict.failed)}.")


def record(
    home: Path,
    data: LogData,
    config: TrainConfig,
    fitted: "Fitted",
    manifest: Manifest,
    now_ms: int,
    how: Publication,
    champion: bool,
) -> None:
    """Send the run, and those that wait, to MLflow; what it does not take stays in the home. Never raises for an outage
    or a full disk: the bundle is there, and a record of it is worth less."""
    tracker = Tracker(home, how.uri)
    try:
        run = run_of(data, config, fitted, manifest, now_ms, champion)
        run = msgspec.structs.replace(run, tags={**run.tags, **how.tags}, metrics={**run.metrics, **how.metrics})
        tracker.keep(run, plots_of(data, config, fitted))
    except OSError as error:
        how.tell(f"The run of {manifest.bundle_id} is not recorded, for the home cannot be written ({error.strerror}).")
        return
    said = tracker.upload().sentence
    if said:
        how.tell(said)
