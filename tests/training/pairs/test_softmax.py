import numpy as np
import pytest
import torch
from torch.nn import functional

from training.pairs.pairs import matrix_of
from training.pairs.softmax import BLOCK, softmax_loss, weighted

USERS = 2 * BLOCK + 7


def test_loss_and_gradients_are_those_of_cross_entropy_over_all_items():
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    taken = weighted(matrix_of(rng.integers(USERS, size=500), rng.integers(50, size=500), (USERS, 50)), 0.5)
    user, item = (functional.normalize(torch.randn(n, 8, generator=generator), dim=1) for n in (USERS, 50))
    user = (6 * user).requires_grad_()
    item.requires_grad_()
    loss = softmax_loss(user, item, taken, 6.0)
    loss.backward()
    wanted = -(torch.from_numpy(taken.toarray()) * torch.log_softmax(user @ item.T, dim=1)).sum() / USERS
    gradients = torch.autograd.grad(wanted, (user, item))
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert torch.allclose(user.grad, gradients[0], atol=1e-6)
    assert torch.allclose(item.grad, gradients[1], atol=1e-6)


def test_a_power_takes_weight_from_those_with_many_items_and_leaves_the_mean():
    # User 0 has one item, user 1 four: 1 and 4 ** -0.5 = 1/2, of which the mean over five pairs is 3/5.
    taken = weighted(matrix_of(np.array([0, 1, 1, 1, 1]), np.array([0, 0, 1, 2, 3]), (2, 4)), 0.5)
    assert taken.data == pytest.approx([5 / 3, 5 / 6, 5 / 6, 5 / 6, 5 / 6])
