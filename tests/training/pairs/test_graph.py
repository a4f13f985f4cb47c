import numpy as np
import pytest
import torch

from training.pairs.graph import Graph, normalised, product
from training.pairs.pairs import matrix_of


def random_pairs(seed: int = 0):
    rng = np.random.default_rng(seed)
    return matrix_of(rng.integers(30, size=200), rng.integers(20, size=200), (30, 20))


def test_a_pair_weighs_one_over_the_roots_of_both_degrees():
    # User 0 has items 0 and 1, user 1 has item 1: degrees 2, 1 and 1, 2.
    matrix = normalised(matrix_of(np.array([0, 0, 1]), np.array([0, 1, 1]), (2, 2)))
    assert matrix.toarray() == pytest.approx(np.array([[1 / np.sqrt(2), 1 / 2], [0, 1 / np.sqrt(2)]]))


def test_a_product_is_the_dense_one():
    matrix, right = normalised(random_pairs()), np.random.default_rng(1).normal(size=(20, 7)).astype(np.float32)
    assert product(matrix, right) == pytest.approx(matrix.toarray() @ right, abs=1e-5)


def test_gradients_flow_through_a_step_as_through_a_dense_matrix():
    graph = Graph.of(random_pairs())
    dense = torch.from_numpy(graph.forward.toarray())
    for step, matrix in ((graph.to_users, dense), (graph.to_items, dense.T)):
        vectors = torch.randn(matrix.shape[1], 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
        (step(vectors) ** 2).sum().backward()
        [wanted] = torch.autograd.grad(((matrix @ vectors) ** 2).sum(), vectors)
        assert torch.allclose(vectors.grad, wanted, atol=1e-4)


def test_thinning_leaves_pairs_out_in_both_directions_and_keeps_the_mean():
    graph = Graph.of(random_pairs())
    thin = graph.thinned(0.25, np.random.default_rng(0))
    assert (thin.backward != thin.forward.T).nnz == 0
    kept = thin.forward.data > 0
    assert 0.6 < kept.mean() < 0.9
    assert thin.forward.data[kept] == pytest.approx(graph.forward.data[kept] / 0.75)
