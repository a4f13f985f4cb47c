"""How far what is served has moved from what was learned: features and predictions of served slates beside the window
of the bundle that served them, which the bundle keeps as counts by bin."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from core.arrays import Array, Float32, Float64, Int64, pack, unpack
from core.errors import NotFound
from feeds.bundle import RANKER_NAMES
from feeds.cross import SERVED_POSITION
from ranking.bins import NAN_CODE
from ranking.ranker import Ranker
from training.log_data import LogData
from training.ranking_fit import ranker_matrix

if TYPE_CHECKING:
    from training.pipeline import Fitted

WINDOW_FILE = "window.npz"
CODES, GROUPS, STEPS = 256, 10, 20
_SAMPLE = 50_000
# Serving gives every candidate the same one, so that it moves by design.
POSITION = "position"


class DriftConfig(BaseModel):
    """From where on a shift is an alert; chance is added to both bounds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    psi: float = Field(0.25, gt=0, description="population stability index of an alert")
    ks: float = Field(0.25, gt=0, le=1, description="Kolmogorov-Smirnov distance of an alert")
    min_slates: int = Field(30, ge=1, description="fewest slates that say anything")


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """One feature or head: its distances from the window, and the bounds beyond which they are an alert."""

    kind: str
    name: str
    psi: float
    psi_bound: float
    ks: float
    ks_bound: float

    @property
    def alert(self) -> bool:
        """Whether it moved further than the bounds allow."""
        return self.psi > self.psi_bound or self.ks > self.ks_bound


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was compared, what moved furthest first; `alerts`: names beyond the bounds."""

    bundle: str
    slates: int
    rows: int
    alerts: tuple[str, ...]
    moved: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of the training window as counts: of each feature by the ranker's code [features, 256], and of each head's
    predictions between `edges` [heads, 19], twentieths of the window's, as [heads, 20]; of so many viewers."""

    features: Int64
    heads: tuple[str, ...]
    edges: Float64
    predictions: Int64
    viewers: int

    def to_bytes(self) -> bytes:
        """An npz archive."""
        arrays = {"features": self.features, "edges": self.edges, "predictions": self.predictions}
        return pack(arrays, {"heads": self.heads, "viewers": self.viewers})

    @classmethod
    def read(cls, folder: Path) -> "Window":
        """A bundle's window; NotFound where it was written before there were any."""
        path = folder / WINDOW_FILE
        if not path.is_file():
            raise NotFound(f"The bundle in {folder} keeps no window of its training; run `foryou train` again.")
        arrays, document = unpack(path.read_bytes())
        heads = tuple(document["heads"])
        return cls(arrays["features"], heads, arrays["edges"], arrays["predictions"], document["viewers"])


def training_window(data: LogData, fitted: "Fitted", seed: int) -> Window:
    """The window of a fit: a sample of the rows that trained, stopped and calibrated its heads."""
    rows, ranking = fitted.rows, fitted.ranking
    index = np.concatenate([ranking.train_index, ranking.valid_index])
    if len(index) > _SAMPLE:
        index = np.sort(np.random.default_rng(seed).choice(index, _SAMPLE, replace=False))
    matrix = ranker_matrix(rows, index, fitted.early_cross, data.driver.records)
    return window_of(ranking.ranker, matrix, len(np.unique(rows.viewer[index])))


def window_of(ranker: Ranker, matrix: Float32, viewers: int) -> Window:
    """The window of these rows, predicted as serving would. matrix: [rows, features]"""
    matrix = as_served(matrix)
    predictions = ranker.predict(matrix)
    inner = np.linspace(0, 1, STEPS + 1)[1:-1]
    edges = np.array([np.quantile(values, inner) for values in predictions.values()])
    counts = np.array([steps_of(values, edges[at]) for at, values in enumerate(predictions.values())])
    return Window(code_counts(ranker, matrix), tuple(predictions), edges, counts, viewers)


def compare(
    window: Window, ranker: Ranker, matrix: Float32, slates: int, config: DriftConfig | None = None
) -> tuple[Moved, ...]:
    """How far the served rows [rows, features] of so many slates are from the window, furthest first."""
    config, matrix = config or DriftConfig(), as_served(matrix)
    # Rows of one slate share their viewer: a slate, and a viewer of the window, count once.
    size = 1 / max(slates, 1) + 1 / max(window.viewers, 1)
    served = code_counts(ranker, matrix)
    found = [
        _moved("feature", name, window.features[at], served[at], size, config)
        for at, name in enumerate(RANKER_NAMES)
        if name != POSITION
    ]
    predictions: Mapping[str, Array] = ranker.predict(matrix)
    for at, head in enumerate(window.heads):
        counts = steps_of(predictions[head], window.edges[at])
        found.append(_moved("prediction", head, window.predictions[at], counts, size, config))
    return tuple(sorted(found, key=lambda one: (-one.alert, -one.psi)))


def as_served(matrix: Float32) -> Float32:
    """The rows at the position that serving gives to all. [rows, features] float32"""
    copy = np.array(matrix, np.float32)
    copy[:, RANKER_NAMES.index(POSITION)] = SERVED_POSITION
    return copy


def code_counts(ranker: Ranker, matrix: Float32) -> Int64:
    """How many rows have each code. [features, 256] int64"""
    codes = ranker.bins.codes(matrix)
    return np.array([np.bincount(column, minlength=CODES) for column in codes.T], np.int64)


def steps_of(values: Array, edges: Float64) -> Int64:
    """How many values lie between neighbouring edges. [20] int64"""
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=STEPS)


def psi(expected: Int64, found: Int64) -> float:
    """Population stability index of two counts by group, half a row added to each so that none is empty."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (expected, found))
    return float(((q - p) * np.log(q / p)).sum())


def ks(expected: Int64, found: Int64) -> float:
    """The largest distance between two cumulative shares by bin."""
    p, q = (np.cumsum(counts) / max(counts.sum(), 1) for counts in (expected, found))
    return float(np.abs(p - q).max())


def groups_of(expected: Int64, apart: int | None) -> Array:
    """The group of each bin: neighbours that share about a tenth of the rows, and bin `apart` alone. [bins] int64"""
    counts = expected.astype(np.float64)
    if apart is not None:
        counts[apart] = 0
    middle = (np.cumsum(counts) - counts / 2) / max(counts.sum(), 1)
    group = 1 + np.minimum((middle * GROUPS).astype(np.int64), GROUPS - 1)
    if apart is not None:
        group[apart] = 0
    # A group in which the window has no row would only measure itself; it joins the one before.
    held = np.bincount(group, expected, minlength=GROUPS + 1) > 0
    held[0] |= apart is not None
    return np.asarray(np.maximum(np.cumsum(held)[group] - 1, 0), np.int64)


def _moved(kind: str, name: str, expected: Int64, found: Int64, size: float, config: DriftConfig) -> Moved:
    group = groups_of(expected, NAN_CODE if kind == "feature" else None)
    number = int(group.max()) + 1
    grouped = [np.bincount(group, counts, minlength=number) for counts in (expected, found)]
    return Moved(
        kind=kind,
        name=name,
        psi=psi(*grouped),
        psi_bound=config.psi + (number - 1) * size,
        ks=ks(expected, found),
        ks_bound=config.ks + math.sqrt(size),
    )
