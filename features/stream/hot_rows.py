"""The rows of a partition that are in use, in memory up to a bound; the rest stays in the partition's state file."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from core.arrays import Array
from core.ports import PartitionState
from features.packed import records_of

# What a row costs beside its own bytes: its id, and its entry in the order of use.
ENTRY_BYTES: Final = 250


class HotRows:
    """Rows by id with the last used ones in memory; over `most_bytes` the least recently used ones leave it.

    A row enters memory only when it is in the state file too, so that leaving costs nothing.
    """

    def __init__(self, state: PartitionState, dtype: np.dtype[np.void], most_bytes: int) -> None:
        self._state, self._dtype = state, dtype
        self.slots = self._fitting(most_bytes)
        self._records: Array = np.zeros(self.slots, dtype)
        self._slot_of: OrderedDict[str, int] = OrderedDict()

    def _fitting(self, most_bytes: int) -> int:
        return max(most_bytes // (self._dtype.itemsize + ENTRY_BYTES), 1)

    def bound(self, most_bytes: int) -> None:
        """Take at most this much memory from now on; what no longer fits leaves at once."""
        slots = self._fitting(most_bytes)
        if slots < len(self._records):
            kept = list(self._slot_of.items())[-slots:]
            self._move(self._records.take(np.array([slot for _, slot in kept], np.int64)), slots)
            self._slot_of = OrderedDict((key, slot) for slot, (key, _) in enumerate(kept))
        self.slots = slots

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

    def gather(self, ids: Sequence[str]) -> Array:
        """A copy of each row, zeros for one that does not exist. [ids]"""
        slots = np.fromiter((self._slot_of.get(key, -1) for key in ids), np.int64, len(ids))
        here = slots >= 0
        if here.all():
            return self._records.take(slots)
        records = np.zeros(len(ids), self._dtype)
        records[here] = self._records.take(slots[here])
        missing = np.flatnonzero(~here).tolist()
        if missing:
            stored = self._state.rows([ids[index] for index in missing])
            found = [index for index in missing if ids[index] in stored]
            records[found] = records_of([stored[ids[index]] for index in found], self._dtype)
        return records

    def put(self, ids: Sequence[str], records: Array) -> None:
        """Keep rows as they were stored; ids are distinct."""
        if len(ids) > self.slots:
            ids, records = ids[-self.slots :], records[-self.slots :]
        slots = np.fromiter(self._slots(ids), np.int64, len(ids))
        _raw(self._records)[slots] = _raw(np.ascontiguousarray(records))

    def _slots(self, ids: Sequence[str]) -> list[int]:
        """The slots of rows that fit together, which are now the last used ones."""
        order = self._slot_of
        slots = [order.get(key, -1) for key in ids]
        if min(slots, default=0) >= 0:
            for key in ids:
                order.move_to_end(key)
            return slots
        for key, slot in zip(ids, slots, strict=True):  # what is here first, or it would make room for what is not
            if slot >= 0:
                order.move_to_end(key)
        return [slot if slot >= 0 else self._placed(key) for key, slot in zip(ids, slots, strict=True)]

    def _placed(self, key: str) -> int:
        """The slot of a row that had none."""
        order = self._slot_of
        slot = len(order)
        if slot == self.slots:
            _, slot = order.popitem(last=False)
        elif slot == len(self._records):
            self._move(self._records, self.slots)
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
