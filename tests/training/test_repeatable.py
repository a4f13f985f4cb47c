"""One seed, one log and one number of threads give one result."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from training.repeatable import repeatable


@pytest.fixture(autouse=True)
def as_before():
    before, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(before)
    torch.set_num_threads(threads)


def gradient():
    """Of rows that are taken many times from a small table, enough of them for two threads."""
    torch.manual_seed(0)
    table = torch.randn(3_000, 64, requires_grad=True)
    rows, weight = torch.randint(0, 3_000, (20_000,)), torch.randn(20_000, 64)
    (table[rows] * weight).sum().backward()
    assert table.grad is not None
    return table.grad.numpy().tobytes()


def test_two_threads_add_a_gradient_in_one_order():
    repeatable(2)
    assert len({gradient() for _ in range(10)}) == 1


def test_the_number_of_threads_is_the_same_for_every_library():
    np.zeros((2, 2)) @ np.zeros((2, 2))
    repeatable(2)
    assert torch.get_num_threads() == 2
    assert {pool["num_threads"] for pool in threadpool_info()} == {2}
    repeatable(1)
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
