"""How long a watch was among those of videos of about its length: what is left when long videos cannot win by length
(after Zhan et al., KDD 2022)."""

from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from core.arrays import Array, Float32
from features.dataset import Rows

STANDING: Final = "watch_standing"
PARTS: Final = 20


@dataclass(frozen=True)
class Standing:
    """The lengths `edges` [parts - 1] in ms between parts of as many watches each, and the seconds watched of each
    part, ascending."""

    edges: Array
    watched: tuple[Array, ...]

    @classmethod
    def fit(cls, length_ms: Array, watch_s: Array, parts: int = PARTS) -> Self:
        """Of watches [n], all observed, at least one."""
        edges = np.unique(np.quantile(length_ms, np.linspace(0, 1, parts + 1)[1:-1]))
        part = np.searchsorted(edges, length_ms)
        return cls(edges, tuple(np.sort(watch_s[part == number]) for number in range(len(edges) + 1)))

    def of(self, length_ms: Array, watch_s: Array) -> Float32:
        """The share of the part's watches that were shorter, those as long counted half; a half where the part has
        none, NaN where nothing was observed. [n] float32"""
        part, out = np.searchsorted(self.edges, length_ms), np.full(len(watch_s), np.nan, np.float32)
        for number, known in enumerate(self.watched):
            rows = np.flatnonzero((part == number) & ~np.isnan(watch_s))
            shorter = (np.searchsorted(known, watch_s[rows], side) for side in ("left", "right"))
            out[rows] = sum(shorter) / (2 * len(known)) if len(known) else 0.5
        return out


def with_standing(rows: Rows, until_ms: int) -> Rows:
    """The rows with the label STANDING, by the watches before a moment; NaN throughout where there are none."""
    watch_s, length_ms = rows.labels["watch_time"], rows.length_ms
    known = ~np.isnan(watch_s) & (rows.time_ms < until_ms)
    label = np.full(len(rows), np.nan, np.float32)
    if known.any():
        label = Standing.fit(length_ms[known], watch_s[known]).of(length_ms, watch_s)
    return replace(rows, labels=rows.labels | {STANDING: label})
