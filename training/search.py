"""A bounded search for better training parameters, judged on the validation part alone.

First what retrieves is searched by the recall of its blend, then the heads by their losses, each beginning with the
parameters of today, so that nothing is chosen that is not better than they are.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import numpy as np

from candidate_gen.recall import recalls
from core.errors import ConfigError
from features.dataset import Rows
from training.config import TrainConfig
from training.config_file import changed, nested
from training.cross import CrossFeatures
from training.head_sample import head_rows
from training.log_data import LogData
from training.progress import Progress, silent
from training.ranking_fit import RankingFit, fit_ranking
from training.repeatable import repeatable
from training.retrieval import Retrieval, fit_retrieval
from training.source_scores import SourceScores, fit_blend, later_long_views, source_ranks
from training.split import Split, split_at

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial as OptunaTrial

Part = Literal["retrieval", "heads"]
CUT = 100


@dataclass(frozen=True, slots=True)
class Span:
    """Where a parameter is looked for: from `low` to `high`, evenly in its logarithm where `log`."""

    low: float
    high: float
    log: bool = True

    def of(self, trial: "OptunaTrial", name: str) -> float | int:
        """A value of the trial, a whole number between whole numbers."""
        if isinstance(self.low, int):
            return trial.suggest_int(name, self.low, int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


SPACE: Final[Mapping[Part, Mapping[str, Span]]] = {
    "retrieval": {
        "towers.learning_rate": Span(1e-3, 1e-2),
        "towers.temperature": Span(0.05, 0.2),
        "towers.negative_power": Span(0.2, 1.0, log=False),
        "towers.id_dropout": Span(0.0, 0.4, log=False),
        "als.confidence": Span(20.0, 320.0),
        "als.regularisation": Span(50.0, 800.0),
        "als.factors": Span(32, 128),
        "ease.regularisation": Span(75.0, 1200.0),
    },
    "heads": {
        "feature_share": Span(0.15, 0.8, log=False),
        "head_leaves": Span(0.4, 2.5),
        "head_learning_rate": Span(0.4, 2.0),
        "head_min_rows": Span(0.3, 4.0),
    },
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of parameters by dotted name (none: those of today) and its score, of which more is better."""

    part: Part
    number: int
    changes: dict[str, Any]
    score: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """At most so many trials of both parts, none begun that would likely end after `until_ms` of `clock`."""

    trials: int
    until_ms: int
    clock: Callable[[], int]


@dataclass(slots=True)
class Found:
    """Every trial, and the nested changes of the best of each part."""

    trials: list[Trial] = field(default_factory=list)

    @property
    def changes(self) -> dict[str, Any]:
        """What to put into a configuration file; empty where today's parameters are the best."""
        best = {part: self.best(part) for part in SPACE}
        return nested({name: value for trial in best.values() if trial for name, value in trial.changes.items()})

    def best(self, part: Part) -> Trial | None:
        """The best trial of a part, the earlier one of equals; None where it had none."""
        own = [trial for trial in self.trials if trial.part == part and np.isfinite(trial.score)]
        return max(own, key=lambda trial: (trial.score, -trial.number), default=None)


@dataclass(slots=True)
class Ground:
    """What every trial is judged on: the rows and the split of a training run, with nothing of the test."""

    data: LogData
    config: TrainConfig
    split: Split
    rows: Rows
    weights: Any

    @classmethod
    def of(cls, data: LogData, config: TrainConfig, scratch: Path, progress: Progress) -> "Ground":
        """Replay the log as a training run does."""
        repeatable(config.threads)
        shown = data.events.time_ms[data.events.surface > 0]
        split = split_at(np.sort(shown), config.tower_share, config.valid_share, config.utc_offset_h)
        return cls(data, config, split, *head_rows(data, split, config, scratch, progress))

    def retrieval(self, config: TrainConfig) -> tuple[float, Retrieval]:
        """Recall@100 of the blend for the validation part's unseen long views, and the fit."""
        data, split, rows = self.data, self.split, self.rows
        watches, table, now_ms = data.interactions(), data.state.table, split.valid_from_ms
        fit = fit_retrieval(watches, table, split.heads_from_ms, config, silent, "trial")
        later = (rows.time_ms >= now_ms) & (rows.time_ms < split.test_from_ms)
        liked = np.flatnonzero(later & (rows.labels["long_view"] > 0))
        rng = np.random.default_rng(config.seed)
        held, viewers = later_long_views(watches, rows.viewer[liked], rows.video[liked], now_ms, len(table), rng)
        scores = SourceScores(fit, table, watches, now_ms)
        if not len(held):
            return float("nan"), fit
        ranks = source_ranks(scores, fit_blend(scores, held, viewers), held, viewers)["blend"]
        return float(recalls(ranks, held, CUT).mean()), fit

    def heads(self, config: TrainConfig, cross: CrossFeatures) -> RankingFit:
        """Heads on the features of one retrieval fit."""
        records = self.data.driver.records
        return fit_ranking(self.rows, self.split, cross, records, config, silent, self.weights)


def search(
    ground: Ground, bounds: Bounds, parts: tuple[Part, ...], told: Callable[[Trial], None], progress: Progress = silent
) -> Found:
    """Trials of each part in turn, each told as it ends; a later part is searched with what an earlier one chose."""
    found, config = Found(), ground.config
    best_fit: Retrieval | None = None
    for at, part in enumerate(parts):
        left = len(parts) - at
        now_ms = bounds.clock()
        until_ms = now_ms + (bounds.until_ms - now_ms) // left
        own = Bounds((bounds.trials - len(found.trials)) // left, until_ms, bounds.clock)
        judge: Judge = RetrievalJudge(ground) if part == "retrieval" else HeadJudge(ground, best_fit, config)
        for trial in _trials(part, config, judge, own, progress):
            found.trials.append(trial)
            told(trial)
        if isinstance(judge, RetrievalJudge):
            best_fit = judge.best
        best = found.best(part)
        config = changed(config, nested(best.changes)) if best else config
    return found


class Judge(Protocol):
    """Gives a configuration its score."""

    def __call__(self, config: TrainConfig) -> float:
        """More is better; nan where it cannot be told."""
        ...


class RetrievalJudge:
    """Recall of the blend; keeps the best fit."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._top = ground, float("-inf")
        self.best: Retrieval | None = None

    def __call__(self, config: TrainConfig) -> float:
        """Recall@100 on the validation part."""
        score, fit = self._ground.retrieval(config)
        if self.best is None or score > self._top:
            self._top, self.best = score, fit
        return score


class HeadJudge:
    """How much lower the heads' losses are than those of the first configuration, their mean share."""

    def __init__(self, ground: Ground, fit: Retrieval | None, config: TrainConfig) -> None:
        fit = fit or ground.retrieval(config)[1]
        self._ground = ground
        self._cross = CrossFeatures(fit, ground.data.state.table, ground.split.heads_from_ms)
        self._first: dict[str, float] = {}

    def __call__(self, config: TrainConfig) -> float:
        """0 of the first configuration; 0.01 where losses are 1% lower."""
        heads = self._ground.heads(config, self._cross).trained.heads
        losses = {name: min(head.curve) for name, head in heads.items() if head.curve}
        self._first = self._first or losses
        return float(np.mean([1 - losses[name] / first for name, first in self._first.items()]))


def _trials(part: Part, config: TrainConfig, judge: Judge, bounds: Bounds, progress: Progress) -> Iterator[Trial]:
    """So many trials as there is time for, the first with the parameters of today."""
    study, longest_ms, count = _study(config.seed), 0, max(1, bounds.trials)
    study.enqueue_trial({name: value_of(config, name) for name in SPACE[part]}, skip_if_exists=True)
    for number in range(count):
        began_ms = bounds.clock()
        if number and began_ms + longest_ms > bounds.until_ms:
            break
        progress(f"search: {part}", number, count)
        asked = study.ask()
        values = {name: span.of(asked, name) for name, span in SPACE[part].items()}
        changes = values if number else {}
        score = judge(changed(config, nested(changes)))
        study.tell(asked, score if np.isfinite(score) else float("-inf"))
        longest_ms = max(longest_ms, bounds.clock() - began_ms)
        yield Trial(part, number, changes, score, (bounds.clock() - began_ms) / 1000)
    progress(f"search: {part}", count, count)


def value_of(config: TrainConfig, name: str) -> Any:
    """The parameter of this dotted name."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _study(seed: int) -> "Study":
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("Optuna is not installed, and a search needs it: pip install 'foryou[training]'.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=5))
