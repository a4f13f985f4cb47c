import numpy as np
import pytest

from training.pairs.evaluation import evaluate
from training.pairs.pairs import held_out, matrix_of
from training.pairs.towers import PairTowerConfig, fit_towers

CONFIG = PairTowerConfig(dim=8, epochs=6, batch_users=32, learning_rate=0.02)


@pytest.fixture(scope="module")
def towns():
    """Four towns of 30 users and 20 places each; nine visits in ten are to one's own town."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(120), 12)
    town = np.where(rng.random(len(user)) < 0.9, user % 4, rng.integers(4, size=len(user)))
    return held_out(matrix_of(user, town * 20 + rng.integers(20, size=len(user)), (120, 80)), 0.2, seed=0)


def test_towers_rank_the_places_of_ones_own_town_first(towns):
    fit, held = towns
    found = evaluate(fit_towers(fit, CONFIG).vectors.scores(), fit, held, k=10)
    # About 12 unseen places of one's own town hold nine tenths of what was held out; by chance 10 of 70 would be found.
    assert found.recall > 0.6


def test_the_same_seed_gives_the_same_vectors_and_another_seed_others(towns):
    config = CONFIG.model_copy(update={"edge_dropout": 0.2, "epochs": 2})
    first, again = (fit_towers(towns[0], config).vectors for _ in range(2))
    assert np.array_equal(first.user, again.user) and np.array_equal(first.item, again.item)
    other = fit_towers(towns[0], config.model_copy(update={"seed": 1})).vectors
    assert not np.array_equal(first.user, other.user)


def test_a_judge_keeps_the_vectors_of_the_best_epoch_and_a_refit_for_as_many_epochs_repeats_them(towns):
    fit, held = towns
    judged = fit_towers(fit, CONFIG, lambda scores: evaluate(scores, fit, held, k=5))
    qualities = [step.quality.ndcg for step in judged.curve if step.quality]
    assert judged.best_epoch == 1 + int(np.argmax(qualities))
    again = fit_towers(fit, CONFIG, epochs=judged.best_epoch)
    assert np.array_equal(judged.vectors.item, again.vectors.item)


def test_without_steps_along_the_graph_the_towers_are_ids_alone(towns):
    vectors = fit_towers(towns[0], CONFIG.model_copy(update={"layers": 0, "epochs": 1})).vectors
    assert np.linalg.norm(vectors.item[:, :-1], axis=1) == pytest.approx(np.ones(80), abs=1e-5)
    assert np.all(vectors.user[:, -1] == 1)
