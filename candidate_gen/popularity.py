"""How popular each video was at each time: decayed counts of weighted watches."""

from dataclasses import dataclass

import numpy as np

from core.arrays import Array, Float32, Int32, Int64
from core.room import blocks

_FLOOR = 0.05


@dataclass(frozen=True)
class PopularityHistory:
    """Decayed counts `counts` [steps + 1, videos] float32: row s holds what happened before
    `start_ms + s * step_ms`, so a look-up never sees the present step."""

    start_ms: int
    step_ms: int
    counts: Float32

    def step(self, time_ms: Int64) -> Int64:
        """The row of `counts` that is known at each time. [n] int64"""
        step = (time_ms - self.start_ms) // self.step_ms
        return np.clip(step, 0, len(self.counts) - 1).astype(np.int64)


def popularity_history(
    video: Int32, time_ms: Int64, weight: Array, videos: int, step_ms: int, half_life_ms: int
) -> PopularityHistory:
    """Counts of watches [n] by time step, halved every `half_life_ms`."""
    start = int(time_ms.min()) if len(time_ms) else 0
    steps = (int(time_ms.max()) - start) // step_ms + 1 if len(time_ms) else 0
    flat = np.zeros(steps * videos)
    for span in blocks(len(video)):
        step = (time_ms[span] - start) // step_ms
        np.add.at(flat, step * videos + video[span], weight[span])
    fresh = flat.reshape(steps, videos)
    counts = np.zeros((steps + 1, videos), np.float32)
    keep = 0.5 ** (step_ms / half_life_ms)
    for at in range(steps):
        counts[at + 1] = (counts[at] + fresh[at]) * keep
    return PopularityHistory(start, step_ms, counts)


def log_share(counts: Array) -> Float32:
    """log of each count over its row's mean, floored: free of the row's scale. [..., videos] float32"""
    mean = np.maximum(counts.mean(axis=-1, keepdims=True), 1e-9)
    shares: Float32 = np.log(counts / mean + _FLOOR).astype(np.float32)
    return shares
