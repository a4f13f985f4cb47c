"""Boards: videos ranked once for everybody, or once for each region, from arrays passed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from core.arrays import Bool, Float64, Int32, Int64


@dataclass(frozen=True)
class Board:
    """Rows best first: `everywhere` [n] int32 and, by region code, `by_region`."""

    everywhere: Int32
    by_region: Mapping[int, Int32] = field(default_factory=dict)

    def rows(self, region: int, quota: int, local_share: float = 0.5) -> Int32:
        """Up to `quota` distinct rows: the region's own share first where it has a board. [<= quota] int32"""
        local = self.by_region.get(region)
        if local is None or region == 0:
            return self.everywhere[:quota]
        own = local[: int(quota * local_share)]
        rest = self.everywhere[: quota + len(own)]
        return np.concatenate([own, rest[~np.isin(rest, own)]])[:quota].astype(np.int32)

    def only(self, region: int, fit: Callable[[Int32], Bool]) -> "Board":
        """The rows that fit, of everybody's board and of this region's."""
        local = self.by_region.get(region)
        return Board(self.everywhere[fit(self.everywhere)], {} if local is None else {region: local[fit(local)]})


def ranked_board(scores: Float64, region: Int32, size: int, allowed: Bool | None = None) -> Board:
    """The `size` best videos of `scores` [videos] for everybody and for each region code [videos] above 0; videos
    with a score of 0 or below, or not `allowed`, stay out."""
    fit = scores > 0 if allowed is None else (scores > 0) & allowed
    rows = np.flatnonzero(fit)
    order = rows[np.lexsort((rows, -scores[rows]))].astype(np.int32)
    codes = region[order]
    regions = {int(code): order[codes == code][:size] for code in np.unique(codes) if code > 0}
    return Board(order[:size], regions)


def fresh_board(
    upload_ms: Int64, region: Int32, now_ms: int, max_age_ms: int, size: int, allowed: Bool | None = None
) -> Board:
    """The newest videos, at most `max_age_ms` old and not from the future."""
    age = now_ms - upload_ms
    young = (age >= 0) & (age <= max_age_ms)
    return ranked_board(np.where(young, max_age_ms - age + 1, 0).astype(np.float64), region, size, allowed)
