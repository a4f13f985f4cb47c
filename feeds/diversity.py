"""Greedy diverse selection: a pure function over values, authors, topics and vectors."""

from typing import Final

import numpy as np
from numba import njit

from core.arrays import Array, Float32, Float64, Int32

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

NOBODY: Final = np.zeros(0, np.int32)


@njit(cache=True)
def _best(value, author, taken, alike, on_page, by_author, by_topic, weights, cap):
    """The candidate of the highest discounted value, -1 when none is left; `alike` is the mean's sum and count."""
    similarity, picked = alike
    similarity_weight, topic_weight, author_weight = weights
    best, best_value = -1, -np.inf
    for i in range(value.shape[0]):
        if taken[i] or (on_page[i] >= cap and author[i] > 0):
            continue
        score = value[i] - topic_weight * by_topic[i] - author_weight * by_author[i]
        score -= similarity_weight * similarity[i] / max(picked, 1)
        if score > best_value:
            best, best_value = i, score
    return best


@njit(cache=True)
def _note(counts, codes, code, change):
    """Add `change` to the counts of candidates with this code; 0 is unknown and never the same."""
    if code > 0:
        for i in range(codes.shape[0]):
            if codes[i] == code:
                counts[i] += change


@njit(cache=True)
def _greedy(value, author, topic, columns, limit, cap, weights, authors, topics, window):
    """`columns` [dim, n]: a product with the chosen one runs over all candidates at once. `authors`, `topics`
    [watched + limit]: codes of what was watched before the page, oldest first, then room for the page's."""
    n, watched = value.shape[0], topics.shape[0] - limit
    chosen, taken = np.full(limit, -1, np.int32), np.zeros(n, np.bool_)
    on_page, by_author, by_topic = np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int32)
    for k in range(max(watched - window, 0), watched):
        _note(by_author, author, authors[k], 1)
        _note(by_topic, topic, topics[k], 1)
    similarity, dots = np.zeros(n, np.float64), np.zeros(n, np.float64)
    for picked in range(limit):
        alike = (similarity, picked)
        best = _best(value, author, taken, alike, on_page, by_author, by_topic, weights, cap)
        if best < 0:
            return chosen[:picked]
        chosen[picked], taken[best] = best, True
        last = watched + picked
        authors[last], topics[last] = author[best], topic[best]
        _note(on_page, author, author[best], 1)
        _note(by_author, author, author[best], 1)
        _note(by_topic, topic, topic[best], 1)
        if last >= window:
            _note(by_author, author, authors[last - window], -1)
            _note(by_topic, topic, topics[last - window], -1)
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
    watched_author: Int32 = NOBODY,
    watched_topic: Int32 = NOBODY,
) -> Array:
    """Indices of at most `limit` candidates, best first, after Carbonell & Goldstein's MMR (SIGIR 1998).

    Each place takes the highest value - similarity_weight x mean similarity to the chosen - topic_weight x
    videos of the same topic, and author_weight x of the same author, among the last `window` of those watched before
    (`watched_*` [watched], oldest first) and chosen, from authors with fewer than `author_cap` places; code 0 is an
    unknown author or topic and never the same. `value`, `author`, `topic` [n]; `vectors` [n, dim] unit rows. Ties go
    to the lower index. [<= limit] int32
    """
    room = np.zeros(limit, np.int32)
    return np.asarray(
        _greedy(
            np.ascontiguousarray(value),
            author,
            topic,
            np.ascontiguousarray(vectors.T),
            limit,
            author_cap,
            (float(similarity_weight), float(topic_weight), float(author_weight)),
            np.concatenate([watched_author, room]),
            np.concatenate([watched_topic, room]),
            window,
        )  # fmt: skip
    )
