"""Where counted rows go: snapshots for Feast's point-in-time joins, and the online store."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from core.ports import FeatureStore
from features.backfill.replay import States
from features.backfill.rows import Rows
from features.feast_offline import write_states
from features.layout import STAMP
from features.packed import pack_rows

_ONLINE_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Output:
    """Snapshots go under `home`, and the rows at the end into `online` where it is given.

    A row counts as of its last event (`applied_us`), and as created when it was written. A row that the online store
    has with a later version stays: the stream was faster.
    """

    home: Path
    created_us: int
    online: FeatureStore | None = None

    async def put(self, states: States, part: str) -> int:
        """Write what a part of the log led to; how many rows."""
        if states.moment_ms is not None:
            for rows in states.rows:
                self._snapshot(rows, f"{states.moment_ms:015d}-{part}")
        elif self.online is not None:
            for rows in states.rows:
                await self._online(self.online, rows)
        return sum(map(len, states.rows))

    def _snapshot(self, rows: Rows, name: str) -> None:
        created_us = np.full(len(rows), self.created_us, np.int64)
        event_us = rows.records["applied_us"].astype(np.int64)
        write_states(self.home, rows.entity, name, rows.ids, pack_rows(rows.records), event_us, created_us)

    async def _online(self, online: FeatureStore, rows: Rows) -> None:
        for start in range(0, len(rows), _ONLINE_ROWS):
            ids = rows.ids[start : start + _ONLINE_ROWS]
            fresh = dict(zip(ids, pack_rows(rows.records[start : start + _ONLINE_ROWS]), strict=True))
            for key, raw in zip(ids, await online.read(rows.entity, ids), strict=True):
                if raw is not None and _version(raw) > _version(fresh[key]):
                    del fresh[key]
            if fresh:
                await online.write({rows.entity: fresh}, {})


def _version(raw: bytes) -> int:
    """The version in a packed row's stamp, also where the rest of it is another schema's."""
    stamp = np.dtype(STAMP)
    return int(np.frombuffer(raw, stamp, 1)["version"][0]) if len(raw) >= stamp.itemsize else -1
