"""Every metric of one head on a held-out day, and of parts of that day."""

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from core.arrays import Array
from features.layout import DURATION_EDGES_MS
from ranking.head_config import HeadConfig
from training.metrics import (
    auc,
    calibration_error,
    calibration_floor,
    debiased_gauc,
    debiased_list_gauc,
    grouped_auc,
    logloss,
    mae,
    rmse,
    xauc,
)

SHORT_MS: Final = 15_000
LONG_MS: Final = 60_000
NEW_WATCHES: Final = 20


class SegmentReport(msgspec.Struct, frozen=True, kw_only=True):
    """The long-view and the median head on a part of the test day; a figure that its rows cannot give is NaN."""

    segment: str
    rows: int
    viewers: int
    rate: float
    auc: float
    logloss: float
    ece: float
    mae: float


def head_figures(
    config: HeadConfig, label: Array, live: Array, still: Array, viewer: Array, length_ms: Array, seed: int
) -> dict[str, float]:
    """The metrics of a head by name; `live` predictions are of the state at each row, `still` ones of the state as the
    day began. Metrics within a viewer's list are of the latter, for counters of one's own outcomes give them away."""
    if config.objective == "binary":
        floor, floor_95 = calibration_floor(live, np.random.default_rng(seed))
        return {
            "auc": auc(label, live),
            "gauc_frozen": grouped_auc(label, still, viewer),
            "logloss": logloss(label, live),
            "ece": calibration_error(label, live),
            "ece_floor": floor,
            "ece_floor_95": floor_95,
        }
    figures = {"xauc": xauc(label, live)}
    if config.orders:
        bucket = np.searchsorted(DURATION_EDGES_MS, length_ms, side="right")
        figures["debiased_gauc_frozen"] = debiased_gauc(label, still, viewer, bucket)
        figures["debiased_list_gauc_frozen"] = debiased_list_gauc(label, still, viewer, bucket)
    else:
        figures |= {"mae": mae(label, live), "rmse": rmse(label, live)}
    return figures


def segments(viewer: Array, earlier: Array, length_ms: Array) -> dict[str, Array]:
    """Which rows [n] each segment has: new viewers, viewers by thirds of how much they watched before, and short and
    long videos. `earlier` [n]: how many watches the row's viewer had before the day."""
    _, first = np.unique(viewer, return_index=True)
    low, high = np.quantile(earlier[first], [1 / 3, 2 / 3]) if len(first) else (0.0, 0.0)
    return {
        f"new viewers (under {NEW_WATCHES} watches)": earlier < NEW_WATCHES,
        "quiet viewers (lowest third)": earlier <= low,
        "middle viewers": (earlier > low) & (earlier <= high),
        "busy viewers (highest third)": earlier > high,
        f"short videos (under {SHORT_MS // 1000} s)": (length_ms > 0) & (length_ms < SHORT_MS),
        f"long videos ({LONG_MS // 1000} s or more)": length_ms >= LONG_MS,
    }


def segment_reports(
    parts: Mapping[str, Array], viewer: Array, label: Array, probability: Array, watch_s: Array, median_s: Array
) -> list[SegmentReport]:
    """The figures of each segment that has rows; `label` and `probability` of a long view, seconds watched and
    predicted. All [n]"""
    reports = []
    for name, part in parts.items():
        if not part.any():
            continue
        y, p = label[part], probability[part]
        reports.append(
            SegmentReport(
                segment=name,
                rows=int(part.sum()),
                viewers=len(np.unique(viewer[part])),
                rate=float(y.mean()),
                auc=auc(y, p),
                logloss=logloss(y, p),
                ece=calibration_error(y, p),
                mae=mae(watch_s[part], median_s[part]),
            )
        )
    return reports
