"""Feature rows that grow as a log is counted again: by id, with the offset and the moment of each one's last event."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array

_FIRST: Final = 1_024


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one entity: ids, and records [ids] with `version` and `applied_us` stamped."""

    entity: str
    ids: list[str]
    records: Array

    def __len__(self) -> int:
        return len(self.ids)


class Growing:
    """Records of one dtype by key, in order of first sight."""

    def __init__(self, dtype: "np.dtype[np.void]") -> None:
        self.places: dict[str, int] = {}
        self.records: Array = np.zeros(_FIRST, dtype)

    def __len__(self) -> int:
        return len(self.places)

    def ensure(self) -> None:
        """Have a record for every place that was given."""
        if len(self.places) > len(self.records):
            grown = np.zeros(max(len(self.places), 2 * len(self.records)), self.records.dtype)
            grown[: len(self.records)] = self.records
            self.records = grown

    def place(self, key: str) -> int:
        """The place of a key, the next one for a new key."""
        return self.places.setdefault(key, len(self.places))

    def since(self, entity: str, version: int) -> Rows:
        """Copies of the rows whose last event is beyond an offset."""
        at = np.flatnonzero(self.records["version"][: len(self)] > version)
        ids = list(self.places)
        return Rows(entity, [ids[place] for place in at.tolist()], self.records[at])
