"""What a training run leaves in MLflow: parameters, metrics, curves and artifacts."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec


class Run(msgspec.Struct, kw_only=True):
    """All that one run wants to log; `curves`: metric -> values by step."""

    name: str
    parameters: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    curves: dict[str, tuple[float, ...]] = {}
    tags: dict[str, str] = {}


def log_run(home: Path, run: Run, artifacts: Iterable[Path]) -> str:
    """Log the run to MLflow on SQLite under `home`; the run's id."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{(home / 'mlflow.db').absolute()}")
    experiment = client.get_experiment_by_name("foryou")
    location = (home / "mlartifacts").absolute().as_uri()
    identity = (
        experiment.experiment_id if experiment else client.create_experiment("foryou", artifact_location=location)
    )
    started = client.create_run(identity, run_name=run.name)
    run_id = str(started.info.run_id)
    at = started.info.start_time
    metrics = [Metric(name, float(value), at, 0) for name, value in run.metrics.items() if value == value]
    for name, values in run.curves.items():
        metrics += [Metric(name, float(value), at, step) for step, value in enumerate(values) if value == value]
    parameters = [Param(name, str(value)[:500]) for name, value in flat(run.parameters).items()]
    tags = [RunTag(name, value) for name, value in run.tags.items()]
    for start in range(0, len(metrics), 900):
        client.log_batch(run_id, metrics=metrics[start : start + 900])
    client.log_batch(run_id, params=parameters[:100], tags=tags)
    for path in artifacts:
        client.log_artifact(run_id, str(path))
    client.set_terminated(run_id)
    return run_id


def flat(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names."""
    out: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out
