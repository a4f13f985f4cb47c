"""Packs what explains a slate, and reads it back: features and ranks of the served, which versions of raw state the
features were computed from (features.logged), the pool that places were drawn from, its scores and temperature, and,
when kept in full, the query and every candidate with its columns and the step that dropped it."""

from dataclasses import dataclass

import numpy as np

from core.arrays import Array, pack, unpack
from core.batch import CandidateBatch
from core.engine import Ranked, Trace
from core.query import Query
from core.slate import Slate, SlateDetail
from features.logged import READ, VIEWER_READ, viewer_read
from features.state import state_of

_SERVED = (
    "features", READ, "tower", "value", "adjusted", "explored", "freshened", "rested", "boosted", "thompson",
    "value_rank", "pin",
)  # fmt: skip


def detail_of(slate: Slate, query: Query, ranked: Ranked, who: Array | None = None) -> SlateDetail:
    """The detail of a slate, in full when the query says so; `who` is what was read of the viewer where that was before
    the query. [1] VIEWER_READ_DTYPE"""
    batch = ranked.batch
    served = {name: batch.columns[name] for name in _SERVED if name in batch.columns}
    served |= {"rows": batch.rows, "source_mask": batch.source_mask}
    if ranked.draw is not None:
        served |= {"pool_rows": ranked.draw.rows, "pool_score": ranked.draw.score}
        served["temperature"] = np.array([ranked.draw.temperature])
    served[VIEWER_READ] = who if who is not None else viewer_read(state_of(query), query.now_ms)
    full = _pack_full(query, ranked.trace) if query.keep_full else b""
    return SlateDetail(slate_id=slate.slate_id, served=pack(served), full=full)


def _pack_full(query: Query, trace: Trace) -> bytes:
    batch, dropped = trace.candidates, trace.dropped
    assert batch is not None and dropped is not None
    arrays = {f"column/{name}": column for name, column in trace.recorded.items()}
    arrays |= {"rows": batch.rows, "source": batch.source, "source_mask": batch.source_mask, "dropped": dropped}
    arrays["query"] = np.frombuffer(query.to_bytes(), np.uint8)
    return pack(arrays)


@dataclass(frozen=True, slots=True)
class FullRecord:
    """A slate kept in full: query, candidates before the first step, recorded columns, dropping step of each."""

    query: Query
    candidates: CandidateBatch
    recorded: dict[str, Array]
    dropped: Array


def read_full(detail: SlateDetail) -> FullRecord | None:
    """The full record, None when the slate was not kept in full."""
    if not detail.full:
        return None
    arrays, _ = unpack(detail.full)
    recorded = {name[7:]: column for name, column in arrays.items() if name.startswith("column/")}
    batch = CandidateBatch(arrays["rows"], arrays["source"], arrays["source_mask"], {})
    return FullRecord(Query.from_bytes(arrays["query"].tobytes()), batch, recorded, arrays["dropped"])
