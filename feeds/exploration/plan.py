"""Which places of a page are drawn, from which pool, and with which temperature."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.arrays import Array, Bool, Float64, Int32
from core.batch import CandidateBatch
from core.query import Query
from feeds.config import ForYouConfig
from feeds.exploration.noise import uniform
from feeds.exploration.thompson import ThompsonScorer
from feeds.reranking import BoostScorer

SLOTS: Final = "slots"
PLACKETT_LUCE: Final = "plackett_luce"
_PAGE_SALT: Final = 0x706C


@dataclass(frozen=True, slots=True)
class Plan:
    """The `places` [p] that are drawn without replacement from the `pool` [n] (indices of the batch) by its `score`."""

    policy: str
    places: Int32
    pool: Int32
    score: Float64
    temperature: float


def is_random(query: Query, config: ForYouConfig) -> bool:
    """Whether the page is drawn as a whole; its seed says so, whoever asks and however often."""
    return uniform(query.seed ^ _PAGE_SALT, 0) < config.random_share


def plan_of(query: Query, batch: CandidateBatch, page: Int32, config: ForYouConfig) -> Plan | None:
    """What is drawn of a page (indices of the batch in order), None where nothing is.

    The pool holds at most as many videos of an author as the cap leaves room for, so whatever is drawn keeps it.
    """
    pinned = batch["pin"][page] == np.arange(len(page))
    if is_random(query, config):
        return _whole_page(batch, page, pinned, config)
    return _slots(batch, page, pinned, config)


def _whole_page(batch: CandidateBatch, page: Int32, pinned: Bool, config: ForYouConfig) -> Plan | None:
    """Every place that is not pinned, from the best by score."""
    score, fixed = batch[BoostScorer.name], page[pinned]
    best = np.argsort(-score, kind="stable")
    best = best[~np.isin(best, fixed)]
    pool = _with_room(best, fixed, batch["author"], config.author_cap)[: config.random_pool]
    places = np.flatnonzero(~pinned)[: len(pool)].astype(np.int32)
    return Plan(PLACKETT_LUCE, places, pool, score[pool], config.random_temperature) if len(places) else None


def _slots(batch: CandidateBatch, page: Int32, pinned: Bool, config: ForYouConfig) -> Plan | None:
    """Every so manieth place, from the new videos that may be explored and are not on the page anyway."""
    every = config.exploration_every
    if not every or len(page) < every:
        return None
    places = np.flatnonzero(~pinned & (np.arange(1, len(page) + 1) % every == 0)).astype(np.int32)
    score = batch[ThompsonScorer.name]
    eligible = batch["may_explore"].copy()
    eligible[page] = False
    new = np.flatnonzero(eligible)
    new = new[np.argsort(-score[new], kind="stable")]
    pool = _with_room(new, page, batch["author"], config.author_cap)[: config.exploration_pool]
    places = places[: len(pool)]
    return Plan(SLOTS, places, pool, score[pool], config.exploration_temperature) if len(places) else None


def _with_room(order: Array, page: Array, author: Int32, cap: int) -> Int32:
    """Those of an order whose author has room beside the page and those before them; nobody is code 0."""
    of = author[order]
    size = int(max(of.max(initial=0), author[page].max(initial=0))) + 1
    on_page = np.bincount(author[page], minlength=size)[of]
    return np.asarray(order[(on_page + _occurrence(of) < cap) | (of == 0)], np.int32)


def _occurrence(codes: Array) -> Array:
    """How many of the same code stand before each. [n]"""
    grouped = np.argsort(codes, kind="stable")
    values = codes[grouped]
    begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if len(codes) else np.zeros(0, int)
    lengths = np.diff(np.append(begins, len(codes)))
    out = np.empty(len(codes), np.int64)
    out[grouped] = np.arange(len(codes)) - np.repeat(begins, lengths)
    return out
