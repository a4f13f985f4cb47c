"""Greedy diverse selection: a pure function over values, authors, topics and vectors."""

import numpy as np
from numba import njit

from core.arrays import Array, Float32, Float64, Int32

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202


@njit(cache=True)
def _greedy(value, author, topic, vectors, limit, cap, similarity_weight, topic_weight, window):
    n = value.shape[0]
    chosen = np.full(limit, -1, np.int32)
    taken = np.zeros(n, np.bool_)
    similarity = np.zeros(n, np.float64)
    picked = 0
    while picked < limit:
        best, best_value = -1, -np.inf
        for i in range(n):
            if taken[i]:
                continue
            same_author, same_topic = 0, 0
            for k in range(picked):
                same_author += author[chosen[k]] == author[i]
                if k >= picked - window:
                    same_topic += topic[chosen[k]] == topic[i]
            if same_author >= cap and author[i] > 0:
                continue
            score = value[i] - topic_weight * same_topic - similarity_weight * similarity[i] / max(picked, 1)
            if score > best_value:
                best, best_value = i, score
        if best < 0:
            break
        chosen[picked] = best
        taken[best] = True
        picked += 1
        for i in range(n):
            if not taken[i]:
                dot = 0.0
                for d in range(vectors.shape[1]):
                    dot += vectors[best, d] * vectors[i, d]
                similarity[i] += dot
    return chosen[:picked]


def diverse_order(
    value: Float64,
    author: Int32,
    topic: Int32,
    vectors: Float32,
    limit: int,
    author_cap: int,
    similarity_weight: float,
    topic_weight: float,
    window: int = 10,
) -> Array:
    """Indices of at most `limit` candidates, best first, after Carbonell & Goldstein's MMR (SIGIR 1998).

    Each place takes the highest value - similarity_weight x mean similarity to the chosen - topic_weight x
    videos of the same topic among the last `window` chosen, from authors with fewer than `author_cap` places.
    `value`, `author`, `topic` [n]; `vectors` [n, dim] unit rows. Ties go to the lower index. [<= limit] int32
    """
    return np.asarray(
        _greedy(
            np.ascontiguousarray(value),
            author,
            topic,
            np.ascontiguousarray(vectors),
            limit,
            author_cap,
            similarity_weight,
            topic_weight,
            window,
        )  # fmt: skip
    )
