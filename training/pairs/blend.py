"""A weighted sum of sources' scores; the weights are tuned on held-out pairs alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from candidate_gen.blend import standardised
from core.arrays import Array, Float32, Int64
from training.pairs.evaluation import BLOCK, Scores, forget, found_in, quality_of
from training.pairs.pairs import Matrix

STEPS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.55, 0.75, 1.0, 1.4, 2.0, 2.8)


def blended(sources: Mapping[str, Scores], weights: Mapping[str, float]) -> Scores:
    """The sum of weight x scores, each user's scores of a source at mean 0 and variance 1 over all items."""
    used = {name: np.float32(weight) for name, weight in weights.items() if weight}

    def scores(users: Int64) -> Float32:
        parts = (standardised(sources[name](users)) * weight for name, weight in used.items())
        total = next(parts)
        for part in parts:
            total += part
        return total

    return scores


@dataclass(frozen=True)
class Pool:
    """The best unseen items of each source for users with held items: enough to compare weights quickly.

    `scores` [users, width] of each source, standardised, -inf in a place that repeats an item; `found` [users, width]:
    held out; `count` [users]: how many items were."""

    scores: Mapping[str, Float32]
    found: Array
    count: Array

    @classmethod
    def of(cls, sources: Mapping[str, Scores], seen: Matrix, held: Matrix, users: Int64, depth: int = 100) -> "Pool":
        """The `depth` best of each source for each user."""
        blocks = [users[start : start + BLOCK] for start in range(0, len(users), BLOCK)]
        parts = [_pooled(sources, seen, held, block, depth) for block in blocks]
        scores = {name: np.concatenate([part[0][name] for part in parts]) for name in sources}
        return cls(scores, np.concatenate([part[1] for part in parts]), np.diff(held[users].indptr))

    def quality(self, weights: Mapping[str, float], k: int = 20) -> tuple[float, float]:
        """Mean recall@k and NDCG@k of the blend, as far as the pool goes."""
        total = np.sum([np.float32(weight) * self.scores[name] for name, weight in weights.items() if weight], axis=0)
        top = torch.topk(torch.from_numpy(total), min(k, total.shape[1]), dim=1).indices.numpy()
        recall, ndcg = quality_of(np.take_along_axis(self.found, top, 1), self.count, k)
        return float(recall.mean()), float(ndcg.mean())


def _pooled(
    sources: Mapping[str, Scores], seen: Matrix, held: Matrix, users: Int64, depth: int
) -> tuple[dict[str, Float32], Array]:
    all_scores = {name: standardised(source(users)) for name, source in sources.items()}
    best = []
    for scores in all_scores.values():
        forget(scores, seen, users)
        best.append(torch.topk(torch.from_numpy(scores), min(depth, scores.shape[1]), dim=1).indices.numpy())
    items = np.sort(np.concatenate(best, axis=1), axis=1)
    again = np.pad(items[:, 1:] == items[:, :-1], ((0, 0), (1, 0)))
    pooled = {name: np.take_along_axis(scores, items, 1) for name, scores in all_scores.items()}
    for scores in pooled.values():
        scores[again] = -np.inf
    return pooled, found_in(items, held[users]) & ~again


def tuned_weights(pool: Pool, first: str, rounds: int = 2) -> dict[str, float]:
    """Weights by coordinate search on recall@20 + NDCG@20 of the pool; the source `first` weighs 1 throughout."""
    weights = {name: float(name == first) for name in pool.scores}
    best = sum(pool.quality(weights))
    for _ in range(rounds):
        for name in [name for name in weights if name != first]:
            for step in STEPS:
                trial = {**weights, name: step}
                if (value := sum(pool.quality(trial))) > best:
                    best, weights = value, trial
    return weights
