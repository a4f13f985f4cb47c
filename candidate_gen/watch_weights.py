"""What a watch says for its video: by what the viewer did, and by how long ago it was beside their newest watch."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from candidate_gen.interactions import signal_weight
from core.arrays import Array, Float32, Int64


class WatchWeights(BaseModel):
    """The weight of a watch. Being shown a video predicts watching one like it, so a skip is weakly positive too."""

    model_config = ConfigDict(frozen=True)

    signals: tuple[float, float, float, float, float, float, float] = Field(
        (0.6, 1.0, 1.2, 1.2, 0.2, 0.0, 0.6),
        description="weight of a watch: no flag, long view, like, strong, skip, negative, click",
    )
    half_life_ms: float = Field(
        5 * 86_400_000, gt=0, description="time before the viewer's newest watch that halves a weight, ms"
    )

    def of(self, indptr: Int64, signal: Array, time_ms: Int64) -> Float32:
        """Weights of watches [n], oldest first for each viewer as `indptr` [viewers + 1] cuts them. [n] float32"""
        counts = np.diff(indptr)
        newest = np.zeros(len(counts), np.int64)
        newest[counts > 0] = time_ms[indptr[1:][counts > 0] - 1]
        age = np.repeat(newest, counts) - time_ms
        return (signal_weight(signal, self.signals) * 0.5 ** (age / self.half_life_ms)).astype(np.float32)
