"""The selector of the page: value, caps, prices for repeats, and what business and diversity ask."""

import numpy as np

from core.arrays import Array, Int32
from core.batch import CandidateBatch
from core.query import Query
from core.stages import Selection
from core.video_table import VideoTable
from features.state import state_of
from feeds.config import ForYouConfig
from feeds.diversity import diverse_order
from feeds.exploration.plan import plan_of
from feeds.page_order import Candidates, Prices, page_order
from feeds.reranking import BoostScorer
from feeds.stages import session_begin


class DiversitySelector:
    """Chooses the page: score, an author cap, and a price for repeats among what was watched lately and the page.

    After the page come those that exploration may draw beside it; they are no part of it yet.
    """

    name = "diversity"

    def __init__(self, table: VideoTable, config: ForYouConfig) -> None:
        self._table, self._config = table, config
        self._prices = prices_of(config)

    def select(self, query: Query, batch: CandidateBatch) -> Selection:
        """[<= limit] in page order, then what may be drawn"""
        page = self._page(query, batch)
        if len(page) < query.limit:
            return Selection(page)  # nothing is left that the caps allow
        plan = plan_of(query, batch, page, self._config)
        if plan is None:
            return Selection(page)
        return Selection(np.concatenate([page, plan.pool[~np.isin(plan.pool, page)]]))

    def _page(self, query: Query, batch: CandidateBatch) -> Int32:
        watched = self._watched(query)
        author, topic = self._table.author[watched], self._table.topic[watched]
        if self._prices.plain and (batch["pin"] < 0).all():
            return self._plain(query, batch, author, topic)
        candidates = Candidates(
            score=batch[BoostScorer.name],
            author=batch["author"],
            topic=batch["topic"],
            vectors=batch["content"],
            followed=np.isin(batch["author"], query.follows),
            pin=batch["pin"],
            watched_author=author,
            watched_topic=topic,
        )
        return page_order(candidates, query.limit, self._prices)

    def _plain(self, query: Query, batch: CandidateBatch, watched_author: Array, watched_topic: Array) -> Int32:
        p = self._prices
        return diverse_order(
            batch[BoostScorer.name],
            batch["author"],
            batch["topic"],
            batch["content"],
            query.limit,
            p.author_cap,
            p.similarity_weight,
            p.topic_weight,
            p.author_weight,
            p.window,
            watched_author=watched_author,
            watched_topic=watched_topic,
        )

    def _watched(self, query: Query) -> Int32:
        """The rows that this session has watched, oldest first; those unknown here are left out. [<= HISTORY] int32"""
        state = state_of(query)[0]
        rows = state["history_video"][session_begin(query) : int(state["history_len"])]
        return np.asarray(rows[rows < len(self._table)], np.int32)


def prices_of(config: ForYouConfig) -> Prices:
    """The parameters by which a page is ordered."""
    return Prices(
        author_cap=config.author_cap,
        similarity_weight=config.similarity_weight,
        topic_weight=config.topic_weight,
        author_weight=config.author_weight,
        dpp_weight=config.dpp_weight,
        dpp_window=config.dpp_window,
        network_min_share=config.network_min_share,
        network_max_share=config.network_max_share,
    )
