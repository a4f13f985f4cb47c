"""A search in MLflow: one run of its own, and a run under it for each trial."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from training.config import TrainConfig
from training.log_data import LogData
from training.run_record import code_version, fingerprint
from training.search import Found, Trial
from training.tracking import Run, Tracker


@dataclass(slots=True)
class SearchRecord:
    """Keeps each trial as it ends; the home sends them as it sends every run."""

    home: Path
    uri: str
    data: LogData
    config: TrainConfig
    clock: Callable[[], int]
    _began_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self._began_ms = self.clock()
        self._keep(Run(key=self._key, name="search", time_ms=self._began_ms, **self._facts()))  # type: ignore[arg-type]

    @property
    def _key(self) -> str:
        return f"search-{self._began_ms}"

    def add(self, trial: Trial) -> None:
        """One trial, sent right away where MLflow answers."""
        run = Run(
            key=f"{self._key}-{trial.part}-{trial.number}",
            name=f"{trial.part} {trial.number}",
            time_ms=max(self.clock(), self._began_ms + 1),
            parent=self._key,
            parameters=trial.changes,
            metrics={"score": trial.score, "seconds": trial.seconds},
            tags={"part": trial.part},
        )
        self._keep(run)
        Tracker(self.home, self.uri).upload()

    def close(self, found: Found) -> str:
        """The search's own figures; what a person should know of the upload."""
        best = {f"best/{trial.part}": trial.score for trial in found.trials if trial is found.best(trial.part)}
        run = Run(key=self._key, name="search", time_ms=self._began_ms, metrics=dict(best))
        self._keep(run)
        return Tracker(self.home, self.uri).upload().sentence

    def _keep(self, run: Run) -> None:
        Tracker(self.home, self.uri).keep(run, {})

    def _facts(self) -> dict[str, object]:
        tags = {"data_fingerprint": fingerprint(self.data), "code_version": code_version()}
        return {"parameters": self.config.model_dump(), "tags": tags}
