"""Re-runs a slate from its record and says with which fidelity, and whether the same slate came out."""

import msgspec
import numpy as np

from core.arrays import unpack
from core.engine import Engine
from core.errors import NotFound
from core.ports import SlateStore
from core.stages import Surface
from core.video_table import VideoTable
from feeds.bundle import Bundle
from feeds.details import read_full


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """`fidelity`: full (filters to selector ran again), features (the served were scored again) or none.

    `identical`: the same videos in the same order with the same values, bit for bit; None where it could not
    be compared, and `reason` says why.
    """

    slate_id: str
    fidelity: str
    identical: bool | None
    reason: str
    recorded: tuple[str, ...]
    replayed: tuple[str, ...] = ()


async def replay(
    slates: SlateStore, slate_id: str, bundle: Bundle, surface: Surface, table: VideoTable, parameter_hash: str
) -> Replay:
    """NotFound when there is no such slate."""
    slate = await slates.get(slate_id)
    if slate is None:
        raise NotFound(f"There is no slate {slate_id}; take one from `slate_id` of a feed answer.")
    detail = await slates.get_detail(slate_id)

    def outcome(fidelity: str, identical: bool | None, reason: str, replayed: tuple[str, ...] = ()) -> Replay:
        return Replay(
            slate_id=slate_id, fidelity=fidelity, identical=identical, reason=reason,
            recorded=slate.video_ids, replayed=replayed,
        )  # fmt: skip

    if detail is None:
        return outcome("none", None, "Only the served list was recorded.")
    if slate.bundle_id != bundle.manifest.bundle_id:
        return outcome(slate.fidelity, None, f"It was served by bundle {slate.bundle_id}, which is not loaded.")
    if slate.parameter_hash != parameter_hash:
        return outcome(slate.fidelity, None, "It was served under other parameters.")
    served, _ = unpack(detail.served)
    full = read_full(detail)
    if full is None:
        same = np.array_equal(bundle.values(served["features"]), served["value"])
        return outcome("features", same, "Its served rows were scored again from their recorded features.")
    ranked = Engine().resume(surface, full.query, full.candidates, recorded=full.recorded)
    again = tuple(table.video_ids[row] for row in ranked.batch.rows)
    same = again == slate.video_ids and np.array_equal(ranked.batch["value"], served["value"])
    return outcome("full", same, "Filters to selector ran again on the kept query and candidates.", again)
