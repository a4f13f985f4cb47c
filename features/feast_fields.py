"""The raw fields of feature state by name, generated from the packed layout: what Feast is told a row holds."""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from core.errors import ContractError
from features.layout import (
    ACTIONS,
    COUNTS_DTYPE,
    PROFILE,
    TOTALS,
    VIDEO_HALF_LIVES,
    VIEWER_DTYPE,
    VIEWER_HALF_LIVES,
)

CLOCK: Final = "applied_us"
SESSION: Final = ("start_ms", "last_ms", "views", "long_views", "skips", "skip_streak")

_MEANING: Final = {
    "schema": "the feature schema that wrote the row",
    "checksum": "CRC-32 of all that follows",
    "version": "offset of the last event in the row",
    "applied_us": "when that event was applied, Unix microseconds",
    "counts": "fixed point, as of its step, not decayed since",
    "steps": "time step of the last update, 1/64 of the half-life",
    "totals": "lifetime total, never decayed",
    "session": "the last session",
    "session_ratio": "sum of min(watch ratio, 1) in the last session, fixed point",
    "profile": "profile code, 0 unknown",
    "traits": "codes of free-form profile values, 0 unknown",
    "history_len": "watches remembered",
    "history_video": "catalogue rows of the last watches, oldest first",
    "history_signal": "what was done with each of them, as bits",
    "history_time_ms": "when each of them was watched",
    "pair_key": "keys of the viewer x key table, families one after the other",
    "pair_step": "time step of the last update of each slot",
    "pair_count": "fixed-point counts [slots, actions], row by row",
    "taste": "decayed sum of (watch ratio - expected) x content embedding",
    "taste_weight": "decayed sum of the weights behind taste",
    "taste_step": "time step of the last update of taste",
}


@dataclass(frozen=True, slots=True)
class RawField:
    """A named part of a packed row: `count` values of a NumPy `format` ("<i8") at a byte `offset`."""

    name: str
    part: str
    format: str
    offset: int
    count: int

    @property
    def is_list(self) -> bool:
        """Whether Feast sees an array."""
        return self.count > 1

    @property
    def meaning(self) -> str:
        """One line for a person."""
        return _MEANING.get(self.part, self.part)


@dataclass(frozen=True, slots=True)
class EntityRows:
    """One entity's packed rows; CLOCK says when each was last applied."""

    name: str
    key: str
    meaning: str
    dtype: np.dtype[np.void]
    fields: tuple[RawField, ...]

    @property
    def layout(self) -> np.dtype[np.void]:
        """The same bytes as a flat record with one field for each name."""
        return np.dtype(
            {
                "names": [f.name for f in self.fields],
                "formats": [(f.format, (f.count,)) if f.is_list else f.format for f in self.fields],
                "offsets": [f.offset for f in self.fields],
                "itemsize": self.dtype.itemsize,
            }
        )


def raw_fields(dtype: np.dtype[np.void], half_lives: dict[str, int]) -> tuple[RawField, ...]:
    """Every field of a packed dtype: labelled axes spread to one name for each cell, the others as one array."""
    axes: dict[str, tuple[tuple[str, ...], ...]] = {
        "counts": (tuple(half_lives), ACTIONS),
        "steps": (tuple(half_lives),),
        "totals": (TOTALS,),
        "session": (SESSION,),
        "profile": (PROFILE,),
    }
    listed = list[RawField]()
    for part in dtype.names or ():
        listed += _spread(part, dtype, axes.get(part, ()))
    return tuple(listed)


def _spread(part: str, dtype: np.dtype[np.void], labels: tuple[tuple[str, ...], ...]) -> list[RawField]:
    inner, offset = dtype.fields[part][:2]  # type: ignore[index]
    base, shape = inner.subdtype or (inner, ())
    if not labels:
        return [RawField(part, part, base.str, offset, int(np.prod(shape, dtype=int)))]
    if tuple(map(len, labels)) != shape:
        raise ContractError(f"The labels of {part} in features/feast_fields.py do not fit its shape {shape}.")
    names = ("_".join((part, *words)) for words in product(*labels))
    return [RawField(name, part, base.str, offset + base.itemsize * i, 1) for i, name in enumerate(names)]


def _rows(name: str, meaning: str, dtype: np.dtype[np.void], half_lives: dict[str, int]) -> EntityRows:
    return EntityRows(name, f"{name}_id", meaning, dtype, raw_fields(dtype, half_lives))


ENTITIES: Final = {
    rows.name: rows
    for rows in (
        _rows("viewer", "whoever watches", VIEWER_DTYPE, VIEWER_HALF_LIVES),
        _rows("video", "a video of the catalogue", COUNTS_DTYPE, VIDEO_HALF_LIVES),
        _rows("author", "whoever published the video", COUNTS_DTYPE, VIDEO_HALF_LIVES),
        _rows("trend", "a topic in a region, by row number", COUNTS_DTYPE, VIDEO_HALF_LIVES),
    )
}
