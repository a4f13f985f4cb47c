"""The figures of a training run as PNG: drawn from arrays, without a display."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.arrays import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 15
DURATIONS_S = (0, 7, 15, 30, 60, 120, 300)


def recall_plot(by_source: Mapping[str, Sequence[float]], cuts: Sequence[int]) -> bytes:
    """Recall by k, a line for each source. PNG"""
    figure, (axes,) = _figure(1, 1)
    for name, recall in by_source.items():
        axes.plot(cuts, recall, marker="o", markersize=3, label=name)
    axes.set(xscale="log", xlabel="k", ylabel="recall@k", title="Unseen long views of the validation part")
    axes.legend(fontsize=8)
    return _png(figure)


def calibration_plot(heads: Mapping[str, tuple[Array, Array]]) -> bytes:
    """Mean label by mean prediction in 15 bins of equal mass, for each head (label, prediction). PNG"""
    figure, panels = _figure(*_grid(len(heads)))
    for axes, (name, (label, prediction)) in zip(panels, heads.items(), strict=False):
        predicted, observed = reliability(label, prediction)
        top = max(float(predicted.max()), float(observed.max()), 1e-6)
        axes.plot([0, top], [0, top], color="grey", linewidth=0.8)
        axes.plot(predicted, observed, marker="o", markersize=3)
        axes.set(title=name, xlabel="predicted", ylabel="observed")
    return _png(figure)


def watch_error_plot(duration_s: Array, error_s: Array) -> bytes:
    """Mean absolute error of the watch time by the video's length, with how many rows each bucket has. PNG"""
    figure, (axes,) = _figure(1, 1)
    names, errors, counts = errors_by_duration(duration_s, error_s)
    bars = axes.bar(names, errors)
    axes.bar_label(bars, [f"{count:,}" for count in counts], fontsize=7)
    axes.set(xlabel="length, seconds", ylabel="mean absolute error, seconds", title="Watch time")
    return _png(figure)


def importance_plot(heads: Mapping[str, Mapping[str, float]], top: int = 12) -> bytes:
    """The features with the largest share of a head's gain, for each head. PNG"""
    figure, panels = _figure(*_grid(len(heads)))
    for axes, (name, gain) in zip(panels, heads.items(), strict=False):
        total = sum(gain.values()) or 1.0
        largest = sorted(gain.items(), key=lambda item: item[1])[-top:]
        axes.barh([feature for feature, _ in largest], [value / total for _, value in largest])
        axes.tick_params(labelsize=6)
        axes.set(title=name, xlabel="share of gain")
    return _png(figure)


def contribution_plot(names: Sequence[str], contributions: Array, codes: Array, head: str, top: int = 15) -> bytes:
    """SHAP summary: each row's contribution [rows, names] to the raw score, coloured by the feature's code. PNG"""
    figure, (axes,) = _figure(1, 1)
    largest = np.argsort(np.abs(contributions).mean(axis=0))[-top:]
    for line, feature in enumerate(largest):
        value = codes[:, feature].astype(float)
        shade = (value - value.min()) / max(float(np.ptp(value)), 1.0)
        # Rows of one feature lie on bands by their order, so that they do not hide each other.
        spread = line + (np.arange(len(value)) % 17 - 8) / 25
        axes.scatter(contributions[:, feature], spread, c=shade, s=3, cmap="coolwarm", linewidths=0)
    axes.set_yticks(range(len(largest)), [names[feature] for feature in largest], fontsize=7)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="contribution to the raw score (red: high value)", title=f"SHAP of head {head}")
    return _png(figure)


def reliability(label: Array, prediction: Array, bins: int = BINS) -> tuple[Array, Array]:
    """(mean prediction, mean label) of bins of equal mass. [bins] each"""
    parts = [part for part in np.array_split(np.argsort(prediction, kind="stable"), bins) if len(part)]
    return np.array([prediction[p].mean() for p in parts]), np.array([label[p].mean() for p in parts])


def errors_by_duration(duration_s: Array, error_s: Array) -> tuple[list[str], list[float], list[int]]:
    """(bucket names, mean absolute errors, rows) of the buckets of lengths that have rows."""
    bucket = np.digitize(duration_s, DURATIONS_S[1:])
    names, errors, counts = [], [], []
    for at, low in enumerate(DURATIONS_S):
        inside = np.abs(error_s[bucket == at])
        if len(inside):
            names.append(f"{low}-{DURATIONS_S[at + 1]}" if at + 1 < len(DURATIONS_S) else f"{low}+")
            errors.append(float(inside.mean()))
            counts.append(len(inside))
    return names, errors, counts


def _grid(panels: int) -> tuple[int, int]:
    columns = min(3, max(panels, 1))
    return -(-max(panels, 1) // columns), columns


def _figure(rows: int, columns: int) -> tuple[Any, "list[Axes]"]:
    """A figure on the Agg canvas, which pyplot's state and displays have no part in, and its panels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * columns + 2, 3.2 * rows + 1), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(np.atleast_1d(figure.subplots(rows, columns)).ravel())


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    for axes in figure.axes:
        axes.set_visible(axes.has_data())
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
