"""A trainer that is left and gone on with, and one whose steps are shared."""

import io

import numpy as np
import pytest
import torch

from candidate_gen.peers import share_of
from candidate_gen.steps import corpus_of, examples_of
from candidate_gen.trainer import Trainer
from tests.candidate_gen.conftest import TINY
from tests.candidate_gen.worlds import START_MS


class Part:
    """One of some processes, which adds nothing up."""

    def __init__(self, rank, size):
        self.rank, self.size = rank, size

    def add_up(self, tensors):
        pass


def trainer_of(world, config=TINY, peers=None):
    corpus = corpus_of(world.watches, world.table.upload_ms, config)
    examples = examples_of(corpus, config, START_MS, world.now_ms)
    return Trainer(corpus, examples, world.table, config, **({"peers": peers} if peers else {}))


def parameters(trainer):
    return {name: p.detach().numpy().copy() for name, p in trainer.model.named_parameters()}


@pytest.mark.parametrize("steps", [1, 5, 13])
def test_a_trainer_that_is_left_within_a_pass_goes_on_to_the_same_bits(world, steps):
    whole = trainer_of(world)
    losses = [whole.epoch(), whole.epoch()]
    left = trainer_of(world)
    kept = []

    def keep():
        if left.done == steps:
            torch.save(left.state(), file := io.BytesIO())
            kept.append(file.getvalue())

    left.epoch(keep)
    other = trainer_of(world)
    other.go_on(torch.load(io.BytesIO(kept[0]), weights_only=True))
    assert [other.epoch(), other.epoch()] == losses
    for name, array in parameters(whole).items():
        np.testing.assert_array_equal(array, parameters(other)[name], err_msg=name)


@pytest.mark.parametrize("loss", ["softmax", "pointwise"])
@pytest.mark.parametrize("size", [2, 3])
def test_the_gradients_of_all_parts_add_up_to_that_of_the_whole_step(world, loss, size):
    config = TINY.model_copy(update={"loss": loss, "id_dropout": 0.0})
    batch = np.random.default_rng(0).permutation(3_000)[:100]

    def gradients(peers=None):
        trainer = trainer_of(world, config, peers)
        value = trainer.loss(batch)
        value.backward()
        return value.item(), [p.grad for p in trainer.model.parameters()]

    whole, wanted = gradients()
    parts = [gradients(Part(rank, size)) for rank in range(size)]
    assert sum(value for value, _ in parts) == pytest.approx(whole, rel=1e-5)
    for at, gradient in enumerate(wanted):
        total = sum(part[at] for _, part in parts)
        np.testing.assert_allclose(total, gradient, rtol=1e-3, atol=1e-6)


def test_shares_are_disjoint_and_cover_a_step():
    parts = [share_of(10, Part(rank, 3)) for rank in range(3)]
    assert [(part.start, part.stop) for part in parts] == [(0, 3), (3, 6), (6, 10)]


def test_half_precision_gives_nearly_the_same_loss(world):
    batch = np.arange(100)
    plain, half = (
        trainer_of(world, TINY.model_copy(update={"precision": precision, "id_dropout": 0.0})).loss(batch).item()
        for precision in ("float32", "bfloat16")
    )
    assert half != plain and half == pytest.approx(plain, rel=2e-2)
