"""The page, place by place, when more is asked than value and repeats: a DPP, shares of followed authors, pins.

With none of those it is `feeds.diversity.diverse_order`, which is faster; a test holds the two against each other.
"""

from dataclasses import dataclass, field

import numpy as np

from core.arrays import Array, Bool, Float32, Float64, Int32

_OWN = 0.01  # of a video's unit variance is its own: two that look the same are never quite the same


@dataclass(frozen=True, slots=True)
class Prices:
    """What a place costs and what a page owes, as ForYouConfig has them."""

    author_cap: int
    similarity_weight: float = 0.0
    topic_weight: float = 0.0
    author_weight: float = 0.0
    window: int = 10
    dpp_weight: float = 0.0
    dpp_window: int = 10
    network_min_share: float = 0.0
    network_max_share: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether `diverse_order` can do it."""
        return not self.dpp_weight and not self.network_min_share and self.network_max_share >= 1.0


@dataclass(slots=True)
class Candidates:
    """Columns of n candidates: `vectors` [n, dim] unit rows, `pin` the place of each (-1: none); codes of 0 are unknown
    and never the same. `watched_author` and `watched_topic` [watched]: what was watched before, oldest first."""

    score: Float64
    author: Int32
    topic: Int32
    vectors: Float32
    followed: Bool
    pin: Int32
    watched_author: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))
    watched_topic: Int32 = field(default_factory=lambda: np.zeros(0, np.int32))


def page_order(candidates: Candidates, limit: int, prices: Prices) -> Int32:
    """Indices of at most `limit` candidates in page order; ties go to the lower index. [<= limit] int32

    A place goes to its pin, else to the highest score - prices + dpp_weight x log(what is new in its vector), among the
    authors under the cap and, where there are such, the followed or others that the shares ask for.
    """
    page = _Page(candidates, limit, prices)
    while len(page.chosen) < limit:
        best = page.next()
        if best < 0:
            break
        page.take(best)
    return np.array(page.chosen, np.int32)


class _Page:
    """The page so far."""

    def __init__(self, candidates: Candidates, limit: int, prices: Prices) -> None:
        self._c, self._prices = candidates, prices
        self.chosen: list[int] = []
        self._pinned = _pinned(candidates, limit)
        self._free = np.ones(len(candidates.score), np.bool_)
        self._free[list(self._pinned.values())] = False
        self._alike = np.zeros(len(candidates.score))

    def take(self, index: int) -> None:
        """The next place is this one's."""
        self.chosen.append(index)
        self._free[index] = False
        self._alike += self._c.vectors @ self._c.vectors[index]

    def next(self) -> int:
        """Who takes the next place, -1 for nobody."""
        place = len(self.chosen)
        if place in self._pinned:
            return self._pinned.pop(place)
        allowed = self._asked_for(self._free & ~self._capped(), place)
        if allowed.any():
            return int(np.argmax(np.where(allowed, self._gain(), -np.inf)))
        return self._pinned.pop(min(self._pinned)) if self._pinned else -1

    def _capped(self) -> Bool:
        """Those whose author has all the places of the cap, pinned ones to come among them."""
        author = self._c.author
        on_page = author[self.chosen + list(self._pinned.values())]
        return np.asarray((_count_of(on_page, author) >= self._prices.author_cap) & (author > 0))

    def _asked_for(self, allowed: Bool, place: int) -> Bool:
        """Those that keep the share of followed authors within its bounds on every beginning of the page."""
        followed, prices = self._c.followed, self._prices
        count, length = int(followed[self.chosen].sum()), place + 1
        if count < np.floor(prices.network_min_share * length + 1e-9):
            asked = allowed & followed
        elif count >= np.ceil(prices.network_max_share * length - 1e-9):
            asked = allowed & ~followed
        else:
            return allowed
        return asked if asked.any() else allowed

    def _gain(self) -> Float64:
        """Score less prices, and what the DPP adds. [n]"""
        c, p = self._c, self._prices
        author = np.concatenate([c.watched_author, c.author[self.chosen]])[-p.window :]
        topic = np.concatenate([c.watched_topic, c.topic[self.chosen]])[-p.window :]
        gain = c.score - p.topic_weight * _count_of(topic, c.topic) * (c.topic > 0)
        gain = gain - p.author_weight * _count_of(author, c.author) * (c.author > 0)
        gain = gain - p.similarity_weight * self._alike / max(len(self.chosen), 1)
        if p.dpp_weight:
            gain = gain + p.dpp_weight * log_novelty(c.vectors, self.chosen[-p.dpp_window :])
        return np.asarray(gain)


def log_novelty(vectors: Float32, chosen: list[int]) -> Float64:
    """log det K(chosen + i) - log det K(chosen) of each i, where K = (1 - own) V V' + own I; 0 where all is new. [n]

    The greedy step of a determinantal point process (Chen et al., "Fast Greedy MAP Inference for DPP", NeurIPS 2018):
    the log of the variance of i that the chosen ones leave unexplained.
    """
    n = len(vectors)
    if not chosen:
        return np.zeros(n)
    wide = np.asarray(vectors, np.float64)
    cross = (1 - _OWN) * wide[chosen] @ wide.T
    kernel = cross[:, chosen].copy()
    kernel[np.diag_indices(len(chosen))] = 1.0
    explained = np.linalg.solve(np.linalg.cholesky(kernel), cross)
    return np.asarray(np.log(np.maximum(1.0 - np.square(explained).sum(axis=0), _OWN * _OWN)))


def _pinned(candidates: Candidates, limit: int) -> dict[int, int]:
    """Place -> the best candidate that is pinned to it."""
    pinned: dict[int, int] = {}
    at = np.flatnonzero((candidates.pin >= 0) & (candidates.pin < limit))
    for index in at[np.argsort(-candidates.score[at], kind="stable")].tolist():
        pinned.setdefault(int(candidates.pin[index]), index)
    return pinned


def _count_of(codes: Array, asked: Array) -> Array:
    """How often each of `asked` [n] stands among the codes. [n]"""
    size = max(int(asked.max(initial=0)), int(codes.max(initial=0))) + 1
    return np.asarray(np.bincount(codes, minlength=size)[asked])
