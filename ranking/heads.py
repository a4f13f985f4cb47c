"""Training of the heads: one binned LightGBM dataset, one booster for each predicted action."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from core.arrays import Array, Float64
from core.errors import InputError
from ranking.averaging import averaged
from ranking.bins import Codes, SharedBins
from ranking.calibration import Calibrator, Identity, Method, fit_calibrator
from ranking.forest import Forest
from ranking.head_config import HeadConfig
from ranking.labels import Part
from ranking.ranker import Ranker
from ranking.trees import MAX_CODE

Progress = Callable[[str, int, int, float | None], None]
"""Called with (head, iteration, rounds, validation metric or None) after each iteration."""

_OBJECTIVE = {"binary": "binary", "mean": "regression", "median": "regression_l1", "tweedie": "tweedie"}
_CALIBRATION: dict[str, Method] = {"binary": "platt", "mean": "linear", "median": "identity", "tweedie": "exponential"}
_METRIC = {"binary": "binary_logloss", "mean": "l2", "median": "l1", "tweedie": "tweedie"}

# Fixed for all heads, so that the dataset is binned once: every code is a bin of its own.
_DATASET = {
    "max_bin": MAX_CODE,
    "min_data_in_bin": 1,
    "feature_pre_filter": False,
    "enable_bundle": False,
    "is_enable_sparse": False,
    "use_missing": False,
    "zero_as_missing": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class TrainedHead:
    """`model`: LightGBM's text up to the best iteration, the mean of the members; `best_iteration` and `curve`, the
    validation metric of each round, are those of the first."""

    config: HeadConfig
    model: str
    best_iteration: int
    metric: str
    curve: tuple[float, ...]
    gain: dict[str, float]
    train_rows: int
    train_positives: int
    seconds: float


@dataclass(frozen=True)
class TrainedHeads:
    """What was trained, and why the rest was not (`skipped`: head -> reason)."""

    heads: dict[str, TrainedHead]
    skipped: dict[str, str]
    feature_names: tuple[str, ...]
    binning_seconds: float

    def forest(self) -> Forest:
        """All trained heads, compiled for serving."""
        models = {name: head.model for name, head in self.heads.items()}
        return Forest.compile(models, len(self.feature_names))

    def calibrators(self, codes: Codes, labels: Mapping[str, Array]) -> dict[str, Calibrator]:
        """A calibrator for each trained head, fitted on the validation day."""
        scores = self.forest().scores(codes)
        return {
            name: fit_head_calibrator(head.config, scores[:, column], labels[head.config.column])
            for column, (name, head) in enumerate(self.heads.items())
        }

    def ranker(self, bins: SharedBins, codes: Codes, labels: Mapping[str, Array]) -> Ranker:
        """The servable ranker, calibrated on the validation day's `codes` and `labels`."""
        return Ranker(bins, self.forest(), self.calibrators(codes, labels), self.feature_names)


def train_heads(
    codes_train: Codes,
    labels_train: Mapping[str, Array],
    codes_valid: Codes,
    labels_valid: Mapping[str, Array],
    feature_names: Sequence[str],
    configs: Sequence[HeadConfig],
    weights: Array | None = None,
    threads: int = 2,
    progress: Progress | None = None,
) -> TrainedHeads:
    """Train every head that has enough labels, on one dataset that is binned once.

    `codes_*`: [rows, features] uint8 of the same bins; `labels_*`: column -> [rows], NaN where not
    observed; `weights`: [training rows]. Raises InputError for empty data, a column that is missing
    or of the wrong length, a label out of its objective's range, an unknown feature, or when every
    head is skipped.
    """
    train = Part("training", codes_train, labels_train, weights)
    valid = Part("validation", codes_valid, labels_valid)
    trained = train_on(train, valid, feature_names, configs, threads, progress)
    if not trained.heads:
        raise InputError(f"No head can be trained: {'; '.join(trained.skipped.values())}.")
    return trained


def train_on(
    train: Part,
    valid: Part,
    feature_names: Sequence[str],
    configs: Sequence[HeadConfig],
    threads: int,
    progress: Progress | None = None,
) -> TrainedHeads:
    """As `train_heads`, from where the parts say that training starts; there may be no head that has enough labels."""
    _check(train, valid, tuple(feature_names), configs)
    began = time.perf_counter()
    datasets = _Datasets.bin(train, valid, feature_names, threads)
    binning_seconds = time.perf_counter() - began
    heads, skipped = {}, {}
    for config in configs:
        reason = _unfit(config, train, valid)
        if reason:
            skipped[config.name] = reason
        else:
            heads[config.name] = datasets.fit(config, progress)
    return TrainedHeads(heads, skipped, tuple(feature_names), binning_seconds)


def _check(train: Part, valid: Part, feature_names: tuple[str, ...], configs: Sequence[HeadConfig]) -> None:
    """Raise InputError for what makes no head trainable or is surely a mistake."""
    for part in (train, valid):
        part.check(len(feature_names))
    names = [config.name for config in configs]
    if not names or len(set(names)) < len(names):
        raise InputError(f"Heads need names of their own, and got {names}.")
    for config in configs:
        for part in (train, valid):
            if config.column not in part.labels:
                raise InputError(f"Head {config.name} needs {part.name} column {config.column}.")
        unknown = sorted(set(config.monotone) - set(feature_names))
        if unknown:
            raise InputError(f"Head {config.name} constrains unknown features {unknown}.")


def _unfit(config: HeadConfig, train: Part, valid: Part) -> str | None:
    """Why a head cannot be trained, or None."""
    binary = config.objective == "binary"
    label = train.observed(config.column, binary)
    positives = int((label > 0).sum())
    if label.size == 0 or valid.observed(config.column, binary).size == 0:
        part = train if label.size == 0 else valid
        return f"{config.name} has no observed label in the {part.name} data"
    if positives < config.min_positives:
        return f"{config.name} has {positives} positives and needs {config.min_positives}"
    if label.min() == label.max():
        return f"{config.name} has the same label {label.min():g} in every training row"
    return None


@dataclass
class _Datasets:
    """The two binned datasets, whose labels are exchanged from head to head."""

    train: Part
    valid: Part
    feature_names: Sequence[str]
    params: dict[str, Any]
    train_set: lgb.Dataset = field(repr=False)
    valid_set: lgb.Dataset = field(repr=False)

    @classmethod
    def bin(cls, train: Part, valid: Part, names: Sequence[str], threads: int) -> "_Datasets":
        """Bin once, each code that a sample of the training rows holds; a code between two of them joins one.

        Only rows that LightGBM binned itself are trained on: sets made after a reference of few distinct values
        have histograms of rows that are not there (4.7.0: failed checks, endless loops, broken memory).
        """
        params = {**_DATASET, "num_threads": threads}
        train_set = lgb.Dataset(_Rows(train.codes), np.zeros(len(train.codes)), params=params).construct()
        valid_set = train_set.create_valid(_Rows(valid.codes), np.zeros(len(valid.codes)), params=params).construct()
        return cls(train, valid, names, params, train_set, valid_set)

    def fit(self, config: HeadConfig, progress: Progress | None) -> TrainedHead:
        """Train one head."""
        began = time.perf_counter()
        observed = self.train.observed(config.column, binary=config.objective == "binary")
        bound = config.bound(observed)
        train_set = _labelled(self.train_set, self.train, config, bound)
        valid_set = _labelled(self.valid_set, self.valid, config, bound)
        curves: list[list[float]] = [[] for _ in range(config.members)]
        boosters = [self._member(config, m, train_set, valid_set, curves[m], progress) for m in range(config.members)]
        best = [b.best_iteration if b.best_iteration > 0 else b.current_iteration() for b in boosters]
        parts = list(zip(boosters, best, strict=True))
        gain = np.sum([b.feature_importance("gain", iteration=trees) for b, trees in parts], axis=0)
        return TrainedHead(
            config=config,
            model=averaged([b.model_to_string(num_iteration=trees) for b, trees in parts]),
            best_iteration=best[0],
            metric=_METRIC[config.objective],
            curve=tuple(curves[0]),
            gain=dict(zip(self.feature_names, map(float, gain), strict=True)),
            train_rows=observed.size,
            train_positives=int((observed > 0).sum()),
            seconds=time.perf_counter() - began,
        )

    def _member(
        self,
        config: HeadConfig,
        number: int,
        train_set: lgb.Dataset,
        valid_set: lgb.Dataset,
        curve: list[float],
        progress: Progress | None,
    ) -> lgb.Booster:
        """One of the head's models, with a seed of its own."""
        return lgb.train(
            self.params | _booster_params(config, self.feature_names) | {"seed": config.seed + number},
            train_set,
            config.rounds,
            valid_sets=[valid_set],
            callbacks=_callbacks(config, curve, progress),
        )


def _labelled(binned: lgb.Dataset, part: Part, config: HeadConfig, bound: float) -> lgb.Dataset:
    """The rows of a binned dataset whose label is observed, with target and weight."""
    rows = part.rows(config.column)
    if rows.size < len(part.codes):
        binned = binned.subset(rows.tolist()).construct()
    binned.set_label(config.target(part.labels[config.column][rows], bound).astype(np.float32))
    # Not set_weight: it keeps the weights of the head before when it is given none.
    weights = None if part.weights is None else np.asarray(part.weights, np.float32)[rows]
    binned.set_field("weight", weights)
    start = part.start.get(config.name)
    binned.set_field("init_score", None if start is None else np.asarray(start, np.float64)[rows])
    return binned


class _Rows(lgb.Sequence):
    """Codes handed to LightGBM in batches, so that they are never all floats at once."""

    batch_size = 65_536

    def __init__(self, codes: Codes) -> None:
        self._codes = codes

    def __getitem__(self, rows: int | slice | list[int]) -> NDArray[Any]:
        return self._codes[rows].astype(np.float64)

    def __len__(self) -> int:
        return int(self._codes.shape[0])


def fit_head_calibrator(config: HeadConfig, scores: Float64, labels: Array) -> Calibrator:
    """The head's calibration; an amount's identity clips at 0 and knows no logistic function."""
    method = config.calibration or _CALIBRATION[config.objective]
    if method == "identity":
        return Identity(probability=config.objective == "binary")
    return fit_calibrator(method, scores, config.target(labels))


def _booster_params(config: HeadConfig, feature_names: Sequence[str]) -> dict[str, Any]:
    """LightGBM's parameters of one head."""
    params: dict[str, Any] = {
        "objective": _OBJECTIVE[config.objective],
        "metric": _METRIC[config.objective],
        "num_leaves": config.leaves,
        "learning_rate": config.learning_rate,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "feature_fraction": config.feature_share,
    }
    if config.row_share < 1:
        params |= {"bagging_fraction": config.row_share, "bagging_freq": 1}
    if config.monotone:
        params["monotone_constraints"] = [config.monotone.get(name, 0) for name in feature_names]
    return params


def _callbacks(config: HeadConfig, curve: list[float], progress: Progress | None) -> list[Callable[..., Any]]:
    """Record the validation metric, report it, and stop early."""

    def record(env: lgb.callback.CallbackEnv) -> None:
        metric = env.evaluation_result_list[0][2] if env.evaluation_result_list else None
        if metric is not None:
            curve.append(float(metric))
        if progress is not None:
            progress(config.name, env.iteration + 1, config.rounds, metric)

    callbacks: list[Callable[..., Any]] = [record]
    if config.early_stopping_rounds:
        callbacks.append(lgb.early_stopping(config.early_stopping_rounds, verbose=False))
    return callbacks
