"""Full ranking of the catalogue for every user who has something to find, what was taken before removed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from core.arrays import Array, Float32, Float64, Int64
from training.pairs.pairs import Matrix, users_of

Scores = Callable[[Int64], Float32]
"""Users [b] -> scores of all items [b, items]; the caller may overwrite them before the next call."""

BLOCK = 512
_NEVER = np.float32(-np.inf)


@dataclass(frozen=True)
class Quality:
    """Means over users of the first k places, and each user's own values [users] for paired comparisons."""

    recall: float
    ndcg: float
    recall_of: Float64
    ndcg_of: Float64


def evaluate(scores: Scores, seen: Matrix, held: Matrix, k: int = 20, users: Int64 | None = None) -> Quality:
    """Recall@k and NDCG@k (binary, ideal over min(k, held items)) of the users who have held items."""
    users = users_of(held) if users is None else users
    parts = []
    for block, top in best_items(scores, seen, users, k):
        mine = held[block]
        parts.append(quality_of(found_in(top, mine), np.diff(mine.indptr), k))
    recall, ndcg = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    return Quality(float(recall.mean()), float(ndcg.mean()), recall, ndcg)


def best_items(scores: Scores, seen: Matrix, users: Int64, k: int) -> Iterator[tuple[Int64, Array]]:
    """Blocks of users with their k best unseen items, best first. ([b], [b, k])"""
    for start in range(0, len(users), BLOCK):
        block = users[start : start + BLOCK]
        values = scores(block)
        forget(values, seen, block)
        yield block, torch.topk(torch.from_numpy(values), min(k, values.shape[1]), dim=1).indices.numpy()


def forget(scores: Float32, seen: Matrix, users: Int64) -> None:
    """Put what the users [b] have taken before at the bottom of their scores [b, items]."""
    before = seen[users].tocoo()
    scores[before.row, before.col] = _NEVER


def found_in(top: Array, held: Matrix) -> Array:
    """Whether each of the items on top [users, k] is among the user's row of `held` [users, items]. [users, k] bool"""
    return np.asarray(held.todense())[np.arange(len(top))[:, None], top] > 0


def quality_of(found: Array, count: Array, k: int) -> tuple[Float64, Float64]:
    """Each user's recall and NDCG, from which of the first places [users, <= k] were hits and how many could be."""
    discount = 1 / np.log2(np.arange(k) + 2)
    count = np.maximum(count, 1)
    ideal = np.cumsum(discount)[np.minimum(count, k) - 1]
    return found.sum(axis=1) / count, (found @ discount[: found.shape[1]]) / ideal
