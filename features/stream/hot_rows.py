"""The rows of a partition that are in use, in memory up to a bound; the rest stays in the partition's state file."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from core.arrays import Array, Int64
from core.ports import PartitionState
from features.packed import records_of

# What a row costs beside its own bytes: its id, and its entry in the order of use.
ENTRY_BYTES: Final = 250


class HotRows:
    """Rows by id with the last used ones in memory, where they are changed in place; over `most_bytes` the least
    recently used ones leave it.

    A change is stored in the state file before the next one begins, or `forget` takes the rows out of memory again: so
    leaving it costs nothing.
    """

    def __init__(self, state: PartitionState, dtype: np.dtype[np.void], most_bytes: int) -> None:
        self._state, self._dtype = state, dtype
        self.slots = self._fitting(most_bytes)
        self._records: Array = np.zeros(self.slots, dtype)
        self._slot_of: OrderedDict[str, int] = OrderedDict()
        self._free: list[int] = []

    def _fitting(self, most_bytes: int) -> int:
        return max(most_bytes // (self._dtype.itemsize + ENTRY_BYTES), 1)

    def bound(self, most_bytes: int) -> None:
        """Take at most this much memory from now on; what no longer fits leaves at once."""
        self.slots = self._fitting(most_bytes)
        self.settle()

    def settle(self) -> None:
        """Let go of what is over the bound: a change may need more rows than that."""
        if len(self._records) > self.slots:
            kept = list(self._slot_of.items())[-self.slots :]
            self._move(self._records.take(np.array([slot for _, slot in kept], np.int64)), self.slots)
            self._slot_of, self._free = OrderedDict((key, slot) for slot, (key, _) in enumerate(kept)), []

    def _move(self, records: Array, slots: int) -> None:
        """Room for so many, of which these are the first; what no row has used yet takes no memory."""
        self._records = np.zeros(slots, self._dtype)
        _raw(self._records)[: len(records)] = _raw(records)

    def __len__(self) -> int:
        return len(self._slot_of)

    @property
    def used_bytes(self) -> int:
        """What the rows in memory take, at most."""
        return len(self._slot_of) * (self._dtype.itemsize + ENTRY_BYTES)

    def take(self, ids: Sequence[str]) -> tuple[Array, Int64]:
        """All records in memory and the place of each row among them, zeros for one that does not exist; ids are
        distinct. They are the last used ones now, and may be changed until anything is awaited."""
        order = self._slot_of
        missing = [key for key in ids if key not in order]
        stored = self._state.rows(missing) if missing else {}
        found = records_of(list(stored.values()), self._dtype) if stored else None
        for key in ids:  # what is here first, or it would make room for what is not
            if key in order:
                order.move_to_end(key)
        if missing:
            most = max(self.slots, len(ids))
            added = [self._placed(key, most) for key in missing]
            _raw(self._records)[added] = 0
        if found is not None:
            _raw(self._records)[[order[key] for key in stored]] = _raw(found)
        return self._records, np.fromiter([order[key] for key in ids], np.int64, len(ids))

    def forget(self, ids: Sequence[str]) -> None:
        """These rows were changed and not stored: take them from the file when they are needed again."""
        self._free += [self._slot_of.pop(key) for key in ids if key in self._slot_of]

    def _placed(self, key: str, most: int) -> int:
        """The slot of a row that had none, among so many."""
        order = self._slot_of
        if len(order) >= most:
            _, slot = order.popitem(last=False)
        elif self._free:
            slot = self._free.pop()
        else:
            slot = len(order)
            if slot == len(self._records):
                self._move(self._records, most)
        order[key] = slot
        return slot


class SharedMemory:
    """Divides a bound among the partitions that a process holds at the moment, in equal parts."""

    def __init__(self) -> None:
        self._sharing: list[tuple[HotRows, int]] = []

    def enter(self, rows: HotRows, most_bytes: int) -> None:
        """One more partition; `most_bytes` is for all of them."""
        self._sharing.append((rows, most_bytes))
        self._divide()

    def leave(self, rows: HotRows) -> None:
        """One partition less."""
        self._sharing = [entry for entry in self._sharing if entry[0] is not rows]
        self._divide()

    def _divide(self) -> None:
        for rows, most_bytes in self._sharing:
            rows.bound(most_bytes // len(self._sharing))


def _raw(records: Array) -> Array:
    """The bytes of each record: numpy copies them at once, a record field by field. [records, bytes] uint8"""
    return records.view(np.uint8).reshape(len(records), records.dtype.itemsize)
