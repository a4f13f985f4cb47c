"""The exact softmax over the whole catalogue, block by block in one buffer.

A sampled softmax corrects each sampled item by -log q; with every item present q is 1 and nothing is left to correct.
40,000 items are few enough: three matrix products a block cost less than drawing and gathering good negatives."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from core.arrays import Float32
from training.pairs.graph import product
from training.pairs.pairs import Matrix

BLOCK = 64


def softmax_loss(users: Tensor, items: Tensor, taken: Matrix, highest: float) -> Tensor:
    """Mean over users [b] of the cross entropy of their items, each times its weight in `taken` [b, items].

    The logits are the products of `users` [b, dim] and `items` [items, dim]; none may be far above `highest`. []"""
    loss: Tensor = _Softmax.apply(users, items, taken, highest)
    return loss


class _Softmax(torch.autograd.Function):
    """The gradient is made on the way forward, while a block's exponentials lie in the buffer."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, users: Tensor, items: Tensor, taken: Matrix, highest: float
    ) -> Tensor:
        weight = torch.from_numpy(np.asarray(taken.sum(axis=1), np.float32))
        counted, shift = torch.cat([items, torch.ones(len(items), 1)], dim=1), torch.full((1, 1), -highest)
        by_user = -torch.from_numpy(product(taken, items.numpy()))
        by_item = -torch.from_numpy(product(taken.T.tocsr(), users.numpy()))
        loss = float((by_user * users).sum())
        buffer = torch.empty(min(BLOCK, len(users)), len(items))
        for start in range(0, len(users), BLOCK):
            part = slice(start, start + BLOCK)
            powers = torch.addmm(shift, users[part], items.T, out=buffer[: len(users[part])]).exp_()
            sums = powers @ counted  # the last column counts
            share = weight[part] / sums[:, -1:]
            loss += float((weight[part] * (sums[:, -1:].log() + highest)).sum())
            by_user[part] += share * sums[:, :-1]
            by_item.addmm_(powers.T, share * users[part])
        ctx.save_for_backward(by_user / len(users), by_item / len(users))
        return torch.tensor(loss / len(users))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_user, by_item = ctx.saved_tensors  # type: ignore[attr-defined]
        return gradients[0] * by_user, gradients[0] * by_item, None, None


def weighted(taken: Matrix, power: float) -> Matrix:
    """Each user's items weighing count ** -power, scaled to a mean of 1 over all pairs. [users, items]"""
    count = np.diff(taken.indptr)
    weight: Float32 = np.repeat(np.maximum(count, 1) ** -power, count).astype(np.float32)
    return sparse.csr_matrix((weight / weight.mean(), taken.indices, taken.indptr), taken.shape)
