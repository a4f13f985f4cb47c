"""The last stage of a page, and the only random one: nothing that follows may drop or reorder."""

import numpy as np

from core.arrays import Int32
from core.batch import CandidateBatch
from core.query import Query
from core.stages import Draw, Selection
from feeds.config import ForYouConfig
from feeds.exploration.draw import drawn, propensities
from feeds.exploration.noise import gumbels
from feeds.exploration.plan import Plan, plan_of


class ExplorationSelector:
    """Draws the places that the plan says, and logs pool, scores, temperature and P(video | placed above).

    The first `limit` of the batch are the page in its order, the others those that may be drawn beside them.
    """

    name = "exploration"

    def __init__(self, config: ForYouConfig) -> None:
        self._config = config

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= limit] in page order, with propensities where a place was drawn"""
        page = np.arange(min(query.limit, len(batch)), dtype=np.int32)
        plan = plan_of(query, batch, page, self._config)
        if plan is None:
            return Selection(page)
        order = draw_places(plan, query.seed)[0]
        chance = np.ones(len(page))
        chance[plan.places] = propensities(plan.score, plan.temperature, order)
        taken = plan.pool[order]
        draw = Draw(plan.policy, plan.places, batch.rows[plan.pool], plan.score, plan.temperature)
        return Selection(_composed(page, batch["pin"], plan.places, taken), chance, draw)


def draw_places(plan: Plan, seeds: int | Int32) -> Int32:
    """Indices into the pool of what each place gets, by the seed of each page. [pages, places] int32"""
    seed = np.atleast_1d(np.asarray(seeds, np.uint64))[:, None]
    noise = gumbels(seed, np.arange(len(plan.pool))[None, :])
    return drawn(plan.score, plan.temperature, len(plan.places), noise)


def _composed(page: Int32, pin: Int32, places: Int32, taken: Int32) -> Int32:
    """The page with these places taken: pins stay, the others of the page fill what is left in their order."""
    out = np.full(len(page), -1, np.int32)
    out[places] = taken
    pinned = (pin[page] == np.arange(len(page))) & (out < 0)
    out[pinned] = page[pinned]
    used = np.zeros(len(pin), np.bool_)
    used[out[out >= 0]] = True
    others = page[~used[page]]
    open_places = np.flatnonzero(out < 0)
    out[open_places] = others[: len(open_places)]
    return out
