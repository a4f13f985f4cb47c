"""Micro-batches of a partition's state that its file holds as they came, until they are folded into its tables."""

from collections.abc import Iterable
from typing import Final

import msgspec

from backends.sqlite.database import Database

# What an entry of the two dictionaries takes beside the row's own bytes, or all in all for an event id.
_ROW_BYTES: Final = 200
_ID_BYTES: Final = 150
_SPAN_MS: Final = 3_600_000


class Step(msgspec.Struct, frozen=True, array_like=True):
    """One micro-batch: rows as (id, version, squeezed bytes), and the hashes of event ids with their times, ms."""

    rows: list[tuple[str, int, bytes]]
    ids: dict[bytes, int]

    @property
    def used_bytes(self) -> int:
        """What it takes in memory, at most."""
        return sum([len(raw) for _, _, raw in self.rows]) + len(self.rows) * _ROW_BYTES + len(self.ids) * _ID_BYTES


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Step)


class Steps:
    """A step is one append to the file where its rows and ids would dirty a page each; a row that changes in several
    steps goes into its table once. What waits is in memory too, up to `most_bytes`, each row as it is now.
    """

    def __init__(self, database: Database, most_bytes: int) -> None:
        self._database, self.most_bytes = database, most_bytes
        self.forget()
        for (raw,) in database.rows("SELECT step FROM steps ORDER BY number"):
            self.took(_decoder.decode(raw))

    def fits(self, step: Step) -> bool:
        """Whether one more may wait: there is room, and its event ids are of the same hour."""
        if self._used_bytes + step.used_bytes > self.most_bytes:
            return False
        return not (self.ids and step.ids) or max(step.ids.values()) - next(iter(self.ids.values())) < _SPAN_MS

    def append(self, step: Step) -> None:
        """Write one to the file."""
        if step.rows or step.ids:
            self._database.execute("INSERT INTO steps (step) VALUES (?)", (_encoder.encode(step),))

    def took(self, step: Step) -> None:
        """It is in the file for good."""
        replaced = [self.rows[key][1] for key, _, _ in step.rows if key in self.rows]
        self.rows.update({key: (version, raw) for key, version, raw in step.rows})
        self.ids.update(step.ids)
        self._used_bytes += step.used_bytes - sum(map(len, replaced)) - len(replaced) * _ROW_BYTES

    def folded(self, step: Step) -> Step:
        """All that waits and one more as one step; they leave the file."""
        rows = self.rows | {key: (version, raw) for key, version, raw in step.rows}
        if self.rows or self.ids:
            self._database.execute("DELETE FROM steps")
        return Step([(key, version, raw) for key, (version, raw) in rows.items()], self.ids | step.ids)

    def forget(self) -> None:
        """Nothing waits."""
        self.rows: dict[str, tuple[int, bytes]] = {}
        self.ids: dict[bytes, int] = {}
        self._used_bytes = 0

    def known(self, hashes: Iterable[bytes]) -> dict[bytes, int]:
        """Which of these event ids wait, with their times."""
        ids = self.ids
        return {raw: ids[raw] for raw in hashes if raw in ids} if ids else {}
