"""Little watched videos gain by what is not known of them, and an explanation says by how much."""

import asyncio

import numpy as np
import pytest

from core.arrays import unpack
from core.batch import from_sources
from core.query import Query
from feeds.config import ForYouConfig
from feeds.explain import _adjustments
from feeds.stages import ExplorationScorer, ReactionScorer
from tests.feeds.toy_feed import ToyFeed, ToyModels


class Watched(ToyModels):
    """The first column of the matrix says how often a video was watched."""

    def watches(self, features):
        return features[:, 0].astype(np.float64)


def explored(watches, values, weight=0.2, scale=10.0):
    batch = from_sources([(0, np.arange(len(watches), dtype=np.int32))])
    batch = batch.with_columns(
        {"features": np.array(watches, np.float32)[:, None], ReactionScorer.name: np.array(values)}
    )
    query = Query(viewer_id="ann", surface="for_you", session_id="s", now_ms=0, page=0, limit=20, seed=0)
    config = ForYouConfig(exploration_weight=weight, exploration_watches=scale)
    return ExplorationScorer(Watched(), config).score(query, batch).tolist()


def test_the_gain_is_whole_without_watches_and_falls_with_their_root():
    # 30 watches beside 10: divided by the root of 4.
    assert explored([0, 30], [1.0, 2.0]) == pytest.approx([1.2, 2.1])


def test_without_a_weight_nothing_is_explored():
    assert explored([0, 1e9], [1.0, 2.0], weight=0.0) == [1.0, 2.0]


def test_an_explanation_says_what_each_later_scorer_added_and_bears_older_slates():
    assert _adjustments({"value": 1.0, "adjusted": 0.75, "explored": 1.0}) == {"adjusted": -0.25, "explored": 0.25}
    assert _adjustments({"value": 1.0, "adjusted": 0.5}) == {"adjusted": -0.5}


def test_a_slate_records_what_exploration_added(tmp_path):
    toy = ToyFeed(tmp_path)
    detail = asyncio.run(toy.slates.get_detail(toy.page().slate_id))
    arrays, _ = unpack(detail.served)
    # Nobody has watched a toy's videos: each gains the whole weight.
    gains = arrays[ExplorationScorer.name] - arrays[ReactionScorer.name]
    assert gains == pytest.approx(ForYouConfig().exploration_weight) and len(gains) == 5
