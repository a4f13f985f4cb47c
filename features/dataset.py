"""Training rows: every impression with its labels and its point-in-time features."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.arrays import Array
from core.room import MEMORY, Room
from features.columns import EventColumns
from features.join import attach
from features.layout import (
    CLICK_BIT,
    LIKE_BIT,
    LONG_VIEW_BIT,
    NEGATIVE_BIT,
    OP,
    SKIP_BIT,
    SKIP_MS,
    STRONG_BIT,
)
from features.raw import Histories

_LABEL_OPS = {
    "like": ("like",),
    "comment": ("comment",),
    "share": ("share",),
    "save": ("save",),
    "follow": ("follow",),
    "negative": ("not_interested", "report", "hide_author", "block"),
}


@dataclass(frozen=True, slots=True)
class Rows:
    """Impressions in time order [n]; labels are float32 [n], NaN where no watch was reported.

    `features` [n, features] float32 and `past`, the viewer's last watches, are memory maps when large; rows before
    `featured` have neither.
    """

    viewer: Array
    video: Array
    author: Array
    time_ms: Array
    position: Array
    surface: Array
    propensity: Array
    play_ms: Array
    length_ms: Array
    labels: dict[str, Array]
    features: Array
    past: Histories
    featured: int

    def __len__(self) -> int:
        return len(self.viewer)

    def select(self, keep: Array) -> Array:
        """Row numbers where `keep` [n] holds and features exist."""
        index = np.flatnonzero(keep)
        return index[index >= self.featured]

    def matrix(self, index: Array) -> Array:
        """Features of row numbers. [index, features] float32"""
        return np.asarray(self.features[index - self.featured])

    def histories(self, index: Array) -> Histories:
        """The viewer's last watches before each impression of row numbers; first dimension: index."""
        return Histories(*(np.asarray(part[index - self.featured]) for part in self.past))


def bits_to_signal(events: EventColumns, watch_at: Array, bits: Array) -> Array:
    """History bits of watches at event index `watch_at` [n] given their later operations. [n] uint8"""
    play, length = events.play_ms[watch_at], events.length_ms[watch_at]
    complete = play >= 0.95 * length
    signal = LONG_VIEW_BIT * events.long_view[watch_at] + CLICK_BIT * events.click[watch_at]
    signal = signal + SKIP_BIT * ((play < SKIP_MS) & ~complete)
    signal = signal | np.where(has(bits, "like"), LIKE_BIT, 0)
    strong = has(bits, "comment", "share", "save", "follow")
    signal = signal | np.where(strong, STRONG_BIT, 0)
    signal = signal | np.where(has(bits, *_LABEL_OPS["negative"]), NEGATIVE_BIT, 0)
    return np.asarray(signal, np.uint8)


def has(bits: Array, *operations: str) -> Array:
    """Which anchors were followed by any of the operations. [n] bool"""
    mask = sum(1 << OP[name] for name in operations)
    return np.asarray((bits & mask) != 0)


def watch_measures(play: Array, length: Array, long_view: Array, click: Array) -> dict[str, Array]:
    """What a watch says for each head that it measures; play and length (above 0) in ms. [n]"""
    ratio = np.minimum(play / length, 5.0)
    return {
        "long_view": long_view,
        "click": click,
        "skip": (play < SKIP_MS) & (ratio < 0.95),
        "completion": ratio >= 0.95,
        "watch_ratio": np.minimum(ratio, 1.0),
        "watch_time": play / 1000.0,
    }


Choose = Callable[[Array, Array, Array], Array]
"""Of impressions in time order the numbers of those that rows are wanted of, ascending, from their times [n], whether a
watch was reported [n] and which operations followed, as bits [n]."""


def labelled(events: EventColumns, choose: Choose | None = None, room: Room = MEMORY) -> tuple[Array, dict[str, Array]]:
    """(event index of each impression in time order [n], columns by name [n]) with labels; of all or of the chosen."""
    bits, watch = attach(events, OP["impression"], OP["watch"], room=room)
    index = np.flatnonzero((events.op == OP["impression"]) & (events.video >= 0))
    index = index[np.lexsort((events.offset[index], events.time_ms[index]))]
    if choose is not None:
        index = index[choose(events.time_ms[index], watch[index] >= 0, bits[index])]
    watched = watch[index] >= 0
    at = np.where(watched, watch[index], 0)
    play, length = (
        events.play_ms[at].astype(np.float32),
        np.maximum(events.length_ms[at], 1).astype(np.float32),
    )
    columns = watch_measures(play, length, events.long_view[at], events.click[at])
    columns |= {name: has(bits[index], *ops) for name, ops in _LABEL_OPS.items()}
    labels = {name: np.where(watched, c.astype(np.float32), np.float32(np.nan)) for name, c in columns.items()}
    return index, {"play_ms": play, "length_ms": length, **labels}


Progress = Callable[[int, int], None]
