"""What a training run leaves in MLflow, and in a folder of the home while MLflow cannot take it.

Every run is first kept under `mlflow_kept/`, uploaded from there, and then removed: whatever ends the upload, a server
that is down, a full disk or a kill, the run is still there for the next one.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import Unavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT, MODEL, KEPT = "foryou", "foryou-bundle", "mlflow_kept"
_KEY, _RUN = "foryou.key", "run.json"
_LONGEST_PARAMETER, _MOST_METRICS, _MOST_PARAMETERS = 500, 900, 100


class Run(msgspec.Struct, kw_only=True):
    """All that one run wants to log; `key` is its own, `parent` that of the run that it belongs to, `curves`: metric ->
    values by step, `bundle`: the bundle's id, `champion`: whether it is served. A figure that is no number is kept as
    None, and never logged."""

    key: str
    name: str
    time_ms: int
    parent: str = ""
    bundle: str = ""
    champion: bool = False
    parameters: dict[str, Any] = {}
    metrics: dict[str, float | None] = {}
    curves: dict[str, tuple[float | None, ...]] = {}
    tags: dict[str, str] = {}


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the runs that were kept: `sent` keys, how many still wait, and why (empty: none does)."""

    sent: tuple[str, ...]
    waiting: int
    reason: str = ""

    @property
    def sentence(self) -> str:
        """What a person should know; empty where every run arrived."""
        if not self.waiting:
            return ""
        runs = "1 run is" if self.waiting == 1 else f"{self.waiting} runs are"
        return f"MLflow took nothing ({self.reason}), so {runs} kept; `foryou train --upload` sends what was kept."


@dataclass(frozen=True, slots=True)
class Tracker:
    """Where the runs of a home go: an MLflow server, or SQLite under the home where `uri` is empty."""

    home: Path
    uri: str = ""

    def keep(self, run: Run, plots: Mapping[str, bytes]) -> None:
        """Write the run and its plots (by file name) to the home, whole or not at all."""
        part, folder = self._kept / f"{run.key}.part", self._kept / run.key
        for stale in (part, folder):
            shutil.rmtree(stale, ignore_errors=True)
        (part / "plots").mkdir(parents=True)
        for name, content in plots.items():
            (part / "plots" / name).write_bytes(content)
        (part / _RUN).write_bytes(msgspec.json.encode(run))
        part.replace(folder)

    def waiting(self) -> list[Path]:
        """The folders of the runs that are kept, oldest first."""
        found = [path for path in self._kept.glob("*") if path.suffix != ".part" and (path / _RUN).is_file()]
        return sorted(found, key=lambda path: (_read(path).time_ms, path.name))

    def upload(self) -> Uploaded:
        """Send every run that is kept; it stays where MLflow does not take it."""
        folders, sent, reason = self.waiting(), [], ""
        try:
            for folder in folders:
                with _translated():
                    self._send(self._client(), folder)
                shutil.rmtree(folder)
                sent.append(folder.name)
        except Unavailable as error:
            reason = error.sentence
        return Uploaded(sent=tuple(sent), waiting=len(folders) - len(sent), reason=reason)

    @property
    def _kept(self) -> Path:
        return self.home / KEPT

    def _client(self) -> "MlflowClient":
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # MLflow's own patience is minutes, which a training run does not wait for a record of itself.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is the command's own
        from mlflow.tracking import MlflowClient

        own = f"sqlite:///{(self.home / 'mlflow.db').absolute()}"
        return MlflowClient(tracking_uri=self.uri or own)

    def _send(self, client: "MlflowClient", folder: Path) -> None:
        """One run: a run that an upload before began is gone on with."""
        run = _read(folder)
        run_id = self._started(client, run)
        _log_values(client, run_id, run)
        client.log_artifacts(run_id, str(folder / "plots"), "plots")
        bundle = self.home / "bundles" / run.bundle
        if run.bundle and bundle.is_dir():
            client.log_artifacts(run_id, str(bundle), "bundle")
            _register(client, run_id, run)
        client.set_terminated(run_id)

    def _started(self, client: "MlflowClient", run: Run) -> str:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        # A server knows where its artifacts go; our own SQLite file knows only the folder that we name.
        location = None if self.uri else (self.home / "mlartifacts").absolute().as_uri()
        identity = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, location)
        begun = _run_id(client, identity, run.key)
        if begun:
            return begun
        tags = {_KEY: run.key}
        above = _run_id(client, identity, run.parent) if run.parent else ""
        if above:
            tags["mlflow.parentRunId"] = above
        return str(client.create_run(identity, run.time_ms, tags, run.name).info.run_id)


def _run_id(client: "MlflowClient", experiment: str, key: str) -> str:
    """The run of this key; empty where there is none."""
    found = client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'", max_results=1)
    return str(found[0].info.run_id) if found else ""


def _read(folder: Path) -> Run:
    return msgspec.json.decode((folder / _RUN).read_bytes(), type=Run)


def _log_values(client: "MlflowClient", run_id: str, run: Run) -> None:
    from mlflow.entities import Metric, Param, RunTag

    values = [(name, 0, value) for name, value in run.metrics.items()]
    values += [(name, step, value) for name, curve in run.curves.items() for step, value in enumerate(curve)]
    metrics = [Metric(name, value, run.time_ms, step) for name, step, value in values if value is not None]
    parameters = [Param(name, str(value)[:_LONGEST_PARAMETER]) for name, value in flat(run.parameters).items()]
    tags = [RunTag(name, value) for name, value in run.tags.items()]
    for part in _parts(metrics, _MOST_METRICS):
        client.log_batch(run_id, metrics=part)
    for part in _parts(parameters, _MOST_PARAMETERS):
        client.log_batch(run_id, params=part)
    client.log_batch(run_id, tags=tags)


def _register(client: "MlflowClient", run_id: str, run: Run) -> None:
    """The bundle as a version of the registered model; the alias `champion` where it is served."""
    if not client.search_registered_models(f"name = '{MODEL}'"):
        client.create_registered_model(MODEL)
    versions = client.search_model_versions(f"name = '{MODEL}' and run_id = '{run_id}'")
    version = versions[0] if versions else client.create_model_version(
        MODEL, f"runs:/{run_id}/bundle", run_id, {"bundle": run.bundle}
    )  # fmt: skip
    if run.champion:
        client.set_registered_model_alias(MODEL, "champion", version.version)


def _parts(values: list[Any], most: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), most):
        yield values[start : start + most]


@contextmanager
def _translated() -> Iterator[None]:
    """Unavailable for whatever MLflow, its transport or its database raises; a bug stays what it is."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except Exception as error:
        # MLflow lets some errors of its database through as they are, which is no driver of this package.
        of_database = type(error).__module__.partition(".")[0] in ("sqlalchemy", "alembic")
        if not of_database and not isinstance(error, (MlflowException, RequestException, OSError)):
            raise
        raise Unavailable(_first_cause(error)) from error


def _first_cause(error: BaseException) -> str:
    """What began it, in a line: MLflow's own words repeat the whole statement or address."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200].rstrip(".")


def flat(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters with dotted names."""
    out: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[prefix + name] = value
    return out
