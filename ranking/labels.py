"""One part of the training data: codes, labels and weights that fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Array, Float64, Int64
from core.errors import InputError
from ranking.bins import Codes


@dataclass(frozen=True)
class Part:
    """`codes`: [rows, features]; `labels` by column (NaN: not observed) and `weights`: [rows]; `start` by head: the raw
    scores [rows] that training goes on from."""

    name: str
    codes: Codes
    labels: Mapping[str, Array]
    weights: Array | None = None
    start: Mapping[str, Array] = field(default_factory=dict)

    def check(self, features: int) -> None:
        """Raise InputError unless every array fits the codes and the codes fit the names."""
        rows = self.codes.shape[0]
        if self.codes.ndim != 2 or self.codes.shape[1] != features or self.codes.dtype != np.uint8:
            raise InputError(
                f"The {self.name} codes must be uint8 [rows, {features}], and are"
                f" {self.codes.dtype} {self.codes.shape}."
            )
        if rows == 0:
            raise InputError(f"The {self.name} data is empty; choose a window with impressions.")
        columns = {**self.labels, **({"weights": self.weights} if self.weights is not None else {})}
        for column, values in columns.items():
            if values.shape != (rows,):
                raise InputError(f"The {self.name} column {column} must be [{rows}], and is {values.shape}.")

    def observed(self, column: str, binary: bool) -> Float64:
        """The labels that are not NaN; raises InputError for one that no head can learn."""
        label = np.asarray(self.labels[column], np.float64)
        label = label[~np.isnan(label)]
        if not np.isfinite(label).all() or (label < 0).any():
            raise InputError(f"The {self.name} column {column} must be finite and not negative.")
        if binary and not np.isin(label, (0.0, 1.0)).all():
            raise InputError(f"The {self.name} column {column} must be 0, 1 or NaN.")
        return label

    def rows(self, column: str) -> Int64:
        """The rows whose label is observed."""
        return np.flatnonzero(~np.isnan(np.asarray(self.labels[column], np.float64)))
