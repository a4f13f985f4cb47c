"""A weighted sum of sources' scores, for what the sources hold together over the whole catalogue."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from candidate_gen.recall import HeldOut, ranks, recalls
from core.arrays import Float32
from core.errors import CorruptData

_GRID = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.5)
CUTS = (20, 100, 500)


@dataclass(frozen=True)
class Blend:
    """The weight of each source's standardised scores; learned on validation, shipped and logged with the bundle."""

    weights: Mapping[str, float]

    def to_bytes(self) -> bytes:
        """A JSON document."""
        return json.dumps(dict(self.weights), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> "Blend":
        """What `to_bytes` wrote; CorruptData when it is something else."""
        try:
            document = json.loads(raw)
            return cls({str(name): float(weight) for name, weight in document.items()})
        except (ValueError, AttributeError, TypeError) as error:
            raise CorruptData("The blend's weights cannot be read; train the bundle again.") from error


def standardised(scores: Float32) -> Float32:
    """Each viewer's scores at mean 0 and variance 1, so that sources can be added. [viewers, videos]"""
    spread = scores.std(axis=1, keepdims=True)
    flat: Float32 = (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-9)
    return flat.astype(np.float32)


def blended(sources: Sequence[Float32], weights: Sequence[float]) -> Float32:
    """The weighted sum of standardised scores, each [viewers, videos]."""
    total = np.zeros_like(sources[0])
    for scores, weight in zip(sources, weights, strict=True):
        if weight:
            total += np.float32(weight) * standardised(scores)
    return total


def fit_weights(
    sources: Sequence[Float32], held: HeldOut, cuts: Sequence[int] = CUTS, rounds: int = 2
) -> tuple[tuple[float, ...], float]:
    """Weights by coordinate search on the mean recall at `cuts` of a validation split, the first source fixed at 1; and
    that recall. A weight moves only for a better recall, so that a source that adds nothing gets 0."""
    flat = [standardised(scores) for scores in sources]
    weights = [1.0] + [0.0] * (len(flat) - 1)
    total = flat[0].copy()
    best = _recall(total, held, cuts)
    for _ in range(rounds):
        for at in range(1, len(flat)):
            rest = total - np.float32(weights[at]) * flat[at]
            for weight in _GRID:
                recall = _recall(rest + np.float32(weight) * flat[at], held, cuts)
                if recall > best:
                    best, weights[at] = recall, weight
            total = rest + np.float32(weights[at]) * flat[at]
    return tuple(weights), best


def _recall(scores: Float32, held: HeldOut, cuts: Sequence[int]) -> float:
    rank = ranks(scores, held)
    return float(np.mean([recalls(rank, held, cut).mean() for cut in cuts]))
