import numpy as np
import pytest

from training.pairs.graph import normalised
from training.pairs.pairs import matrix_of
from training.pairs.spectral import graph_filter, linear_filter, truncated_svd


def random_pairs():
    rng = np.random.default_rng(0)
    return matrix_of(rng.integers(40, size=400), rng.integers(25, size=400), (40, 25))


def test_the_largest_singular_triples_are_those_of_the_dense_decomposition():
    matrix = normalised(random_pairs())
    left, values, right = truncated_svd(matrix, 5, seed=0, rounds=50, spare=5)
    wanted_left, wanted_values, wanted_right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    assert values == pytest.approx(wanted_values[:5], abs=1e-4)
    wanted = (wanted_left[:, :5] * wanted_values[:5]) @ wanted_right[:5]
    assert (left * values) @ right == pytest.approx(wanted, abs=1e-3)


def test_filters_are_the_papers_products_of_dense_matrices():
    taken, users = random_pairs(), np.array([3, 0, 17])
    dense, matrix = taken.toarray(), normalised(random_pairs()).toarray()
    root = np.sqrt(dense.sum(axis=0))
    right = np.linalg.svd(matrix)[2][:6]
    linear = dense[users] @ matrix.T @ matrix
    ideal = dense[users] @ np.diag(1 / root) @ right.T @ right @ np.diag(root)
    assert linear_filter(taken)(users) == pytest.approx(linear, abs=1e-4)
    louder = dense[users] / root @ dense.T / np.sqrt(dense.sum(axis=1)) @ dense / root
    assert linear_filter(taken, 0.5)(users) == pytest.approx(louder, abs=1e-4)
    assert graph_filter(taken, 0.3, rank=6, rounds=50)(users) == pytest.approx(linear + 0.3 * ideal, abs=1e-3)
