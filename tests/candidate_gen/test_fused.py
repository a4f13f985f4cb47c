"""The fused parts of a step give what torch's own operations give, and the same gradients."""

import numpy as np
import pytest
import torch

from candidate_gen.fused import pooled, sampled_softmax, taken
from candidate_gen.steps import StepMaker, corpus_of, examples_of
from candidate_gen.trainer import Trainer
from candidate_gen.two_towers import softmax_loss, tensors
from candidate_gen.video_fields import age_buckets, age_grid
from tests.candidate_gen.conftest import TINY
from tests.candidate_gen.worlds import START_MS

N, LENGTH, ROWS, DIM, POOLS = 30, 7, 11, 5, 3


def gradients(function, *inputs):
    inputs = [x.detach().clone().requires_grad_() for x in inputs]
    torch.manual_seed(1)
    out = function(*inputs)
    (out * torch.randn(out.shape)).sum().backward()
    return [out.detach(), *(x.grad for x in inputs)]


def same(ours, wanted):
    for one, two in zip(ours, wanted, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_pools_are_the_products_of_weights_and_rows():
    torch.manual_seed(0)
    x, history = torch.randn(ROWS, DIM), torch.randint(0, ROWS, (N, LENGTH))
    weight = torch.rand(N, LENGTH, POOLS)
    plain = lambda x, w: torch.einsum("nlp,nld->npd", w, x[history])  # noqa: E731
    same(gradients(lambda x, w: pooled(x, history, w), x, weight), gradients(plain, x, weight))


def test_values_taken_by_index_have_the_sum_of_the_gradients():
    torch.manual_seed(0)
    values, index = torch.randn(ROWS), torch.randint(0, ROWS, (4, 6))
    same(gradients(lambda v: taken(v, index), values), gradients(lambda v: v[index], values))


def step_of(world, config):
    corpus = corpus_of(world.watches, world.table.upload_ms, config)
    examples = examples_of(corpus, config, START_MS, world.now_ms)
    return tensors(StepMaker(corpus, examples, config, np.random.default_rng(0)).make(np.arange(0, 3000, 30)))


@pytest.mark.parametrize("changes", [{}, {"history_hits": False}, {"accidental_hits": False}, {"logq": False}])
def test_the_sampled_softmax_is_that_of_the_scores(world, changes):
    config = TINY.model_copy(update=changes)
    step = step_of(world, config)
    torch.manual_seed(0)
    u, y = torch.randn(100, DIM), torch.randn(len(step["columns"]), DIM)
    bias = torch.randn(int(step["time"].max()) + 1, len(y))

    def ours(u, y, bias):
        return sampled_softmax(u, y, bias, step, config.history_hits, config.accidental_hits)

    def plain(u, y, bias):
        return softmax_loss(u @ y.T + bias[step["time"]], step, config)

    same(gradients(ours, u, y, bias), gradients(plain, u, y, bias))


@pytest.mark.parametrize("loss", ["softmax", "pointwise"])
def test_a_model_s_loss_is_that_of_its_scores(world, loss):
    config = TINY.model_copy(update={"loss": loss, "id_dropout": 0.0})
    corpus = corpus_of(world.watches, world.table.upload_ms, config)
    examples = examples_of(corpus, config, START_MS, world.now_ms)
    model, step = Trainer(corpus, examples, world.table, config).model, step_of(world, config)
    scores = model(step)
    if loss == "softmax":
        wanted = softmax_loss(scores, step, config)
    else:
        own = scores.gather(1, step["positive"][:, None])[:, 0]
        wanted = torch.nn.functional.binary_cross_entropy_with_logits(own, step["outcome"])
    torch.testing.assert_close(model.loss(step), wanted, rtol=1e-5, atol=1e-6)


def test_ages_on_a_grid_are_those_of_each_pair():
    rng = np.random.default_rng(0)
    upload, now = rng.integers(0, 10**10, 50), rng.integers(10**9, 10**10, 20)
    upload[0] = now[0] - 3_600_000  # a bound belongs to the bucket below it
    np.testing.assert_array_equal(age_grid(upload, now), age_buckets(upload, now[:, None]))
