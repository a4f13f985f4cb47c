"""Candidates as columns: a struct of arrays that stages narrow, widen and order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Bool, Int32
from core.errors import ContractError


@dataclass(frozen=True, slots=True)
class CandidateBatch:
    """`rows` [n] int32 of the VideoTable, `source` [n] uint8 (first source that gave the row), `source_mask` [n]
    uint32 (bit per source that gave it) and named columns, each with n as its first dimension."""

    rows: Int32
    source: Array
    source_mask: Array
    columns: Mapping[str, Array]

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def __getitem__(self, name: str) -> Array:
        try:
            return self.columns[name]
        except KeyError:
            have = ", ".join(sorted(self.columns))
            raise ContractError(
                f"No column '{name}' in the candidates; a hydrator must add it first ({have})."
            ) from None

    def with_columns(self, columns: Mapping[str, Array]) -> "CandidateBatch":
        """The same candidates with these columns added or replaced."""
        return CandidateBatch(self.rows, self.source, self.source_mask, {**self.columns, **columns})

    def take(self, index: Int32 | Bool | Array) -> "CandidateBatch":
        """The candidates that a mask [n] keeps, or an index [k] names in its order."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return CandidateBatch(self.rows[index], self.source[index], self.source_mask[index], columns)


def from_sources(rows_by_source: list[tuple[int, Int32]]) -> CandidateBatch:
    """One batch from (source number, rows) pairs; a row given twice keeps its first source and sets both bits."""
    if not rows_by_source:
        empty = np.zeros(0, np.int32)
        return CandidateBatch(empty, empty.astype(np.uint8), empty.astype(np.uint32), {})
    rows = np.concatenate([rows for _, rows in rows_by_source])
    source = np.concatenate([np.full(len(rows), number, np.uint8) for number, rows in rows_by_source])
    unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    mask = np.zeros(len(unique), np.uint32)
    np.bitwise_or.at(mask, inverse, np.uint32(1) << source.astype(np.uint32))
    order = np.argsort(first, kind="stable")
    return CandidateBatch(unique[order].astype(np.int32), source[first[order]], mask[order], {})
