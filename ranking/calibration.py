"""From a head's raw score to a prediction that can be added up: fitted on the validation day.

A calibrator is a few numbers; fitting and applying need numpy alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.arrays import Array, Float64
from core.errors import InputError, SchemaMismatch

Method = Literal["platt", "isotonic", "linear", "exponential", "identity"]

_NEWTON_STEPS = 100
_BISECTIONS = 60


class Calibrator(Protocol):
    """A monotone function from raw scores to predictions; `method` names it in files."""

    method: ClassVar[Method]

    def apply(self, scores: Float64) -> Float64:
        """Predictions [rows] of raw scores [rows]."""
        ...

    def arrays(self) -> dict[str, Array]:
        """The numbers that `from_arrays` needs."""
        ...


@dataclass(frozen=True)
class Platt:
    """p = 1 / (1 + exp(-(slope x score + intercept))) (Platt, 1999)."""

    slope: float = 1.0
    intercept: float = 0.0
    method: ClassVar[Method] = "platt"

    def apply(self, scores: Float64) -> Float64:
        """Probabilities [rows] in (0, 1)."""
        return sigmoid(self.slope * scores + self.intercept)

    def arrays(self) -> dict[str, Array]:
        """Slope and intercept."""
        return {"line": np.array([self.slope, self.intercept])}


@dataclass(frozen=True)
class Isotonic:
    """A rising function through (`score`, `prediction`) knots, straight between, flat outside."""

    score: Float64
    prediction: Float64
    method: ClassVar[Method] = "isotonic"

    def apply(self, scores: Float64) -> Float64:
        """Predictions [rows] between the lowest and the highest knot."""
        return np.interp(scores, self.score, self.prediction)

    def arrays(self) -> dict[str, Array]:
        """The knots."""
        return {"score": self.score, "prediction": self.prediction}


@dataclass(frozen=True)
class Linear:
    """max(0, slope x score + intercept), for heads that predict an amount."""

    slope: float = 1.0
    intercept: float = 0.0
    method: ClassVar[Method] = "linear"

    def apply(self, scores: Float64) -> Float64:
        """Amounts [rows], 0 or more."""
        return np.maximum(self.slope * scores + self.intercept, 0.0)

    def arrays(self) -> dict[str, Array]:
        """Slope and intercept."""
        return {"line": np.array([self.slope, self.intercept])}


@dataclass(frozen=True)
class Exponential:
    """max(0, slope x exp(score) + intercept), for heads that predict the logarithm of a mean."""

    slope: float = 1.0
    intercept: float = 0.0
    method: ClassVar[Method] = "exponential"

    def apply(self, scores: Float64) -> Float64:
        """Amounts [rows], 0 or more."""
        return np.maximum(self.slope * _exp(scores) + self.intercept, 0.0)

    def arrays(self) -> dict[str, Array]:
        """Slope and intercept."""
        return {"line": np.array([self.slope, self.intercept])}


@dataclass(frozen=True)
class Identity:
    """The head's own link: the logistic function for a probability, max(0, score) for an amount."""

    probability: bool = True
    method: ClassVar[Method] = "identity"

    def apply(self, scores: Float64) -> Float64:
        """Predictions [rows] as the head was trained to give them."""
        return sigmoid(scores) if self.probability else np.maximum(scores, 0.0)

    def arrays(self) -> dict[str, Array]:
        """Which link."""
        return {"probability": np.array([self.probability])}


_LINES: dict[str, type[Platt] | type[Linear] | type[Exponential]] = {
    "platt": Platt,
    "linear": Linear,
    "exponential": Exponential,
}


def fit_calibrator(
    method: Method, scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None
) -> Calibrator:
    """Fit on the observed rows: `scores`, `labels` (NaN: not observed), `weights`, each [rows].

    A head that ranks backwards on these rows is flattened to their mean: its order is worth
    nothing. `identity` here is a probability's. Raises InputError when no label is observed.
    """
    score, label = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    weight = np.ones_like(score) if weights is None else np.asarray(weights, np.float64)
    if not score.shape == label.shape == weight.shape:
        raise InputError("Scores, labels and weights of a calibration must be of one length.")
    seen = ~np.isnan(label) & (weight > 0)
    _need_one(seen)
    score, label, weight = score[seen], label[seen], weight[seen]
    if method == "platt":
        return _fit_platt(score, label, weight)
    if method == "isotonic":
        return _fit_isotonic(score, label, weight)
    if method == "exponential":
        line = _fit_linear(_exp(score), label, weight)
        return Exponential(line.slope, line.intercept)
    return _fit_linear(score, label, weight) if method == "linear" else Identity()


def at_level(before: Calibrator, scores: ArrayLike, labels: ArrayLike) -> Calibrator:
    """The calibrator with its slope and an intercept fitted anew, on the observed rows of `scores` and `labels`, each
    [rows] (NaN: not observed). Isotonic and identity have no intercept and stay. Raises InputError when no label is
    observed."""
    score, label = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    seen = ~np.isnan(label)
    _need_one(seen)
    score, label = score[seen], label[seen]
    if isinstance(before, Platt):
        return Platt(before.slope, _platt_intercept(before.slope * score, label))
    if isinstance(before, Linear | Exponential):
        amount = _exp(score) if isinstance(before, Exponential) else score
        return type(before)(before.slope, float(label.mean() - before.slope * amount.mean()))
    return before


def calibrator_from_arrays(method: str, arrays: Mapping[str, Array]) -> Calibrator:
    """The calibrator that gave these arrays."""
    if method in _LINES:
        slope, intercept = map(float, arrays["line"])
        return _LINES[method](slope, intercept)
    if method == "isotonic":
        return Isotonic(arrays["score"], arrays["prediction"])
    if method == "identity":
        return Identity(bool(arrays["probability"][0]))
    raise SchemaMismatch(f"No calibration is called {method}; this bundle needs a newer build.")


def sigmoid(x: Float64) -> Float64:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small), np.float64)


def _need_one(seen: NDArray[np.bool_]) -> None:
    """Raise InputError where no label is observed."""
    if not seen.any():
        raise InputError("A calibration needs at least one observed label; widen its window.")


def _exp(x: Float64) -> Float64:
    """exp(x), finite: no amount is beyond exp(50)."""
    return np.exp(np.minimum(x, 50.0))


def _fit_platt(score: Float64, label: Float64, weight: Float64) -> Platt:
    """Newton's method on the log loss, with Platt's smoothed targets and centred scores."""
    positive, negative = float(weight @ label), float(weight @ (1.0 - label))
    target = np.where(label > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    mean, spread = _centre(score, weight)
    x = np.column_stack([(score - mean) / spread, np.ones_like(score)])
    line = np.array([0.0, _logit(float(weight @ target / weight.sum()))])
    for _ in range(_NEWTON_STEPS):
        step = _newton_step(x, target, weight, line)
        line = line + step
        if float(np.abs(step).max()) < 1e-10:
            break
    if line[0] <= 0:
        return Platt(0.0, _logit(float(weight @ target / weight.sum())))
    slope = float(line[0] / spread)
    return Platt(slope, float(line[1] - slope * mean))


def _platt_intercept(start: Float64, label: Float64) -> float:
    """What must be added to logits [rows] so that their mean probability is the labels', with Platt's smoothing."""
    target = (float(label.sum()) + 1) / (len(label) + 2)
    low, high = -50.0 - float(start.max()), 50.0 - float(start.min())
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(start + middle).mean() < target else (low, middle)
    return (low + high) / 2


def _newton_step(x: Float64, target: Float64, weight: Float64, line: Float64) -> Float64:
    """The step of the log loss in `line`: [2], halved until the loss does not rise."""

    def loss(at: Float64) -> float:
        z = x @ at
        return float(weight @ (np.logaddexp(0.0, z) - target * z))

    p = sigmoid(x @ line)
    curvature = (x * (weight * p * (1.0 - p))[:, None]).T @ x + 1e-9 * np.eye(2)
    step = np.asarray(np.linalg.solve(curvature, x.T @ (weight * (target - p))), np.float64)
    now = loss(line)
    for _ in range(30):
        if loss(line + step) <= now:
            return step
        step = step / 2
    return np.zeros(2)


def _fit_linear(score: Float64, label: Float64, weight: Float64) -> Linear:
    """Weighted least squares."""
    mean, spread = _centre(score, weight)
    middle = float(weight @ label / weight.sum())
    centred = score - mean
    slope = float(weight @ (centred * (label - middle)) / (weight.sum() * spread * spread))
    return Linear(0.0, middle) if slope <= 0 else Linear(slope, middle - slope * mean)


def _fit_isotonic(score: Float64, label: Float64, weight: Float64) -> Isotonic:
    """Pool adjacent violators; equal scores are pooled first; a flat stretch keeps its two ends."""
    knots, at = np.unique(score, return_inverse=True)
    mass = np.bincount(at, weight)
    blocks: list[tuple[float, float, int]] = []  # mean, mass, knots
    for mean, size in zip(np.bincount(at, weight * label) / mass, mass, strict=True):
        block = (float(mean), float(size), 1)
        while blocks and blocks[-1][0] >= block[0]:
            last = blocks.pop()
            total = last[1] + block[1]
            block = ((last[0] * last[1] + block[0] * block[1]) / total, total, last[2] + block[2])
        blocks.append(block)
    prediction = np.repeat([b[0] for b in blocks], [b[2] for b in blocks])
    inner = (prediction[1:-1] == prediction[:-2]) & (prediction[1:-1] == prediction[2:])
    keep = np.concatenate([[True], ~inner, [True]])[: knots.size]
    return Isotonic(knots[keep], prediction[keep])


def _centre(score: Float64, weight: Float64) -> tuple[float, float]:
    """Weighted mean and standard deviation (1 where all scores are equal)."""
    mean = float(weight @ score / weight.sum())
    spread = float(np.sqrt(weight @ (score - mean) ** 2 / weight.sum()))
    return mean, spread if spread > 0 else 1.0


def _logit(p: float) -> float:
    """log(p / (1 - p))."""
    return float(np.log(p / (1.0 - p)))
