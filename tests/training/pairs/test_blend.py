import numpy as np
import pytest

from training.pairs.blend import Pool, blended, tuned_weights
from training.pairs.evaluation import evaluate
from training.pairs.pairs import matrix_of, users_of

USERS, ITEMS = 60, 80


def world():
    """Pairs seen and held out, and two sources that each know half of what draws users to items."""
    rng = np.random.default_rng(0)
    halves = rng.normal(size=(2, USERS, ITEMS)).astype(np.float32)
    drawn = np.argsort(-(halves.sum(axis=0) + 0.3 * rng.normal(size=(USERS, ITEMS))), axis=1)
    user = np.repeat(np.arange(USERS), 6)
    seen, held = (matrix_of(user, part.ravel(), (USERS, ITEMS)) for part in (drawn[:, :6], drawn[:, 6:12]))
    return seen, held, {name: (lambda users, half=half: half[users]) for name, half in zip("ab", halves, strict=True)}


def test_a_pool_of_the_whole_catalogue_ranks_as_the_full_evaluation_does():
    seen, held, sources = world()
    pool = Pool.of(sources, seen, held, users_of(held), depth=ITEMS)
    for weights in ({"a": 1.0, "b": 0.0}, {"a": 1.0, "b": 0.7}):
        full = evaluate(blended(sources, weights), seen, held)
        assert pool.quality(weights) == pytest.approx((full.recall, full.ndcg))


def test_an_item_that_two_sources_found_is_counted_once():
    seen, held, sources = world()
    pool = Pool.of({"a": sources["a"], "again": sources["a"]}, seen, held, users_of(held), depth=30)
    assert pool.quality({"a": 1.0, "again": 1.0}) == pytest.approx(pool.quality({"a": 1.0, "again": 0.0}))
    assert pool.found.sum(axis=1).max() <= 6


def test_two_sources_of_equal_worth_are_weighted_alike_and_beat_each_alone():
    seen, held, sources = world()
    pool = Pool.of(sources, seen, held, users_of(held), depth=40)
    weights = tuned_weights(pool, "a")
    assert weights["a"] == 1
    assert 0.5 <= weights["b"] <= 2
    assert pool.quality(weights)[0] > pool.quality({"a": 1.0, "b": 0.0})[0] + 0.1
