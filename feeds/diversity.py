"""Greedy diverse selection: a pure function over values, authors, topics and vectors."""

import numpy as np
from numba import njit

from core.arrays import Array, Float32, Float64, Int32

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202


@njit(cache=True)
def _best(value, author, taken, alike, by_author, by_topic, weights, cap):
    """The candidate of the highest discounted value, -1 when none is left; `alike` is the mean's sum and count."""
    similarity, picked = alike
    similarity_weight, topic_weight, author_weight = weights
    best, best_value = -1, -np.inf
    for i in range(value.shape[0]):
        if taken[i] or (by_author[i] >= cap and author[i] > 0):
            continue
        score = value[i] - topic_weight * by_topic[i] - author_weight * by_author[i]
        score -= similarity_weight * similarity[i] / max(picked, 1)
        if score > best_value:
            best, best_value = i, score
    return best


@njit(cache=True)
def _greedy(value, author, topic, columns, limit, cap, weights, window):
    """`columns` [dim, n]: a product with the chosen one runs over all candidates at once."""
    n = value.shape[0]
    chosen, taken = np.full(limit, -1, np.int32), np.zeros(n, np.bool_)
    by_author, by_topic = np.zeros(n, np.int32), np.zeros(n, np.int32)
    similarity, dots = np.zeros(n, np.float64), np.zeros(n, np.float64)
    for picked in range(limit):
        alike = (similarity, picked)
        best = _best(value, author, taken, alike, by_author, by_topic, weights, cap)
        if best < 0:
            return chosen[:picked]
        chosen[picked], taken[best] = best, True
        by_author += (author == author[best]) & (author > 0)
        by_topic += (topic == topic[best]) & (topic > 0)
        if picked >= window:
            by_topic -= (topic == topic[chosen[picked - window]]) & (topic > 0)
        dots[:] = 0.0
        for d in range(columns.shape[0]):
            for i in range(n):
                dots[i] += columns[d, best] * columns[d, i]
        similarity += dots
    return chosen


def diverse_order(
    value: Float64,
    author: Int32,
    topic: Int32,
    vectors: Float32,
    limit: int,
    author_cap: int,
    similarity_weight: float,
    topic_weight: float,
    author_weight: float,
    window: int = 10,
) -> Array:
    """Indices of at most `limit` candidates, best first, after Carbonell & Goldstein's MMR (SIGIR 1998).

    Each place takes the highest value - similarity_weight x mean similarity to the chosen - topic_weight x
    videos of the same topic among the last `window` chosen - author_weight x earlier videos of the same author, from
    authors with fewer than `author_cap` places; code 0 is an unknown author or topic and never the same.
    `value`, `author`, `topic` [n]; `vectors` [n, dim] unit rows. Ties go to the lower index. [<= limit] int32
    """
    return np.asarray(
        _greedy(
            np.ascontiguousarray(value),
            author,
            topic,
            np.ascontiguousarray(vectors.T),
            limit,
            author_cap,
            (float(similarity_weight), float(topic_weight), float(author_weight)),
            window,
        )  # fmt: skip
    )
