import numpy as np
import pytest

from training.pairs.evaluation import evaluate
from training.pairs.pairs import matrix_of


def random_pairs(rng: np.random.Generator, pairs: int = 300):
    return matrix_of(rng.integers(40, size=pairs), rng.integers(60, size=pairs), (40, 60))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_recall_and_ndcg_are_those_of_sorting_every_users_unseen_items_one_by_one(k):
    rng = np.random.default_rng(0)
    seen, held, scores = random_pairs(rng), random_pairs(rng, 90), rng.normal(size=(40, 60)).astype(np.float32)
    recalls, ndcgs = [], []
    for user in range(40):
        relevant = held[user].indices
        if len(relevant):
            ranked = [item for item in np.argsort(-scores[user]) if item not in set(seen[user].indices)]
            hits = [item in relevant for item in ranked[:k]]
            ideal = sum(1 / np.log2(place + 2) for place in range(min(k, len(relevant))))
            recalls.append(sum(hits) / len(relevant))
            ndcgs.append(sum(hit / np.log2(place + 2) for place, hit in enumerate(hits)) / ideal)
    found = evaluate(lambda users: scores[users], seen, held, k)
    assert found.recall == pytest.approx(np.mean(recalls))
    assert found.ndcg == pytest.approx(np.mean(ndcgs))
    assert found.recall_of == pytest.approx(recalls)
    assert found.ndcg_of == pytest.approx(ndcgs)


def test_one_hit_on_the_second_of_two_places_by_hand():
    # User 0 holds items 1 and 3 out; item 0 was seen, so the ranking 0 > 2 > 3 > 1 becomes 2 > 3.
    seen, held = matrix_of(np.array([0]), np.array([0]), (1, 4)), matrix_of(np.array([0, 0]), np.array([1, 3]), (1, 4))
    found = evaluate(lambda users: np.array([[9.0, 1.0, 3.0, 2.0]], np.float32), seen, held, 2)
    assert found.recall == 0.5
    assert found.ndcg == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
