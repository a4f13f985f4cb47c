"""The heavy parts of a tower's step in one pass over memory each, with their gradients: the pools of the histories, the
sampled softmax, and values taken by index. For float32 in this process's memory; elsewhere torch's own operations stand
for them.
"""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN202

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

NEVER = -1e9
# Sums may be taken in parts, so that they use the processor's vectors; numbers that are none stay what they are.
_FAST = {"reassoc", "contract", "nsz"}


@njit(cache=True, fastmath=_FAST)
def _pool(x, history, weight, out):
    for i in range(history.shape[0]):
        for j in range(history.shape[1]):
            row = x[history[i, j]]
            for p in range(weight.shape[2]):
                w = weight[i, j, p]
                if w != 0:
                    for k in range(x.shape[1]):
                        out[i, p, k] += w * row[k]


@njit(cache=True, fastmath=_FAST)
def _pool_gradients(x, history, weight, gradient, of_x, of_weight):
    for i in range(history.shape[0]):
        for j in range(history.shape[1]):
            row, own = x[history[i, j]], of_x[history[i, j]]
            for p in range(weight.shape[2]):
                w = weight[i, j, p]
                if w != 0:
                    product = np.float32(0)
                    for k in range(x.shape[1]):
                        product += gradient[i, p, k] * row[k]
                        own[k] += w * gradient[i, p, k]
                    of_weight[i, j, p] = product


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, history: Tensor, weight: Tensor) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        ctx.save_for_backward(x, history, weight)
        out = torch.zeros(len(history), weight.shape[2], x.shape[1])
        _pool(x.numpy(), history.numpy(), weight.numpy(), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        x, history, weight = ctx.saved_tensors
        of_x, of_weight = torch.zeros_like(x), torch.zeros_like(weight)
        _pool_gradients(
            x.numpy(), history.numpy(), weight.numpy(), gradient.contiguous().numpy(), of_x.numpy(), of_weight.numpy()
        )  # fmt: skip
        return of_x, None, of_weight


def pooled(x: Tensor, history: Tensor, weight: Tensor) -> Tensor:
    """Sums of rows of x [m, dim] that history [n, length] names, by weight [n, length, pools], whose gradient is not
    asked for where it is 0. [n, pools, dim]"""
    if fits(x):
        out: Tensor = _Pooled.apply(x, history, weight)
        return out
    return torch.bmm(weight.transpose(1, 2), torch.nn.functional.embedding(history, x))


@njit(cache=True)
def _add_values(gradient, index, out):
    for i in range(len(index)):
        out[index[i]] += gradient[i]


class _Taken(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.size = len(values)
        return values[index]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        out, (index,) = torch.zeros(ctx.size), ctx.saved_tensors
        _add_values(gradient.contiguous().numpy().ravel(), index.contiguous().numpy().ravel(), out.numpy())
        return out, None


def taken(values: Tensor, index: Tensor) -> Tensor:
    """values [n] by index of any shape: torch adds the gradients of what is taken often slowly."""
    if not fits(values):
        return values[index]
    out: Tensor = _Taken.apply(values, index)
    return out


def fits(x: Tensor) -> bool:
    """Whether the arrays of this process are what the kernels read."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


@njit(cache=True, fastmath=_FAST)
def _logits(scores, bias, time, correction, positive, more, who, column, own, highest):
    """Scores become corrected logits less each row's highest; `own` is the positive's score before."""
    at = 0
    for i in range(scores.shape[0]):
        row, added = scores[i], bias[time[i]]
        own[i] = row[positive[i]] + added[positive[i]]
        for c in range(len(row)):
            row[c] += added[c] + correction[c]
        while at < len(who) and who[at] == i:
            row[column[at]] = NEVER
            at += 1
        row[positive[i]] = own[i] + more[i]
        top = row[0]
        for c in range(len(row)):
            top = max(top, row[c])
        highest[i] = top
        for c in range(len(row)):
            row[c] -= top


@njit(cache=True, fastmath=_FAST)
def _loss(powers, positive, weight, own, highest):
    """The mean loss; exponentials become its gradients by the scores."""
    total, loss = np.float32(0), 0.0
    for w in weight:
        total += w
    for i in range(powers.shape[0]):
        row, mass = powers[i], np.float32(0)
        for c in range(len(row)):
            mass += row[c]
        share = weight[i] / total
        loss += share * (highest[i] + np.log(mass) - own[i])
        for c in range(len(row)):
            row[c] *= share / mass
        row[positive[i]] -= share
    return loss


@njit(cache=True)
def _add_rows(values, group, out):
    for i in range(len(group)):
        row = out[group[i]]
        for c in range(values.shape[1]):
            row[c] += values[i, c]


class _SampledSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, y: Tensor, bias: Tensor, step: dict[str, Tensor], hits: Tensor) -> Tensor:
        gradient = u @ y.T
        own, highest = np.empty((2, len(u)), np.float32)
        arrays = gradient.numpy()
        _logits(
            arrays, bias.contiguous().numpy(), step["time"].numpy(), step["correction"].numpy(),
            step["positive"].numpy(), step["more"].numpy(), hits[0].numpy(), hits[1].numpy(), own, highest,
        )  # fmt: skip
        gradient.exp_()
        loss = _loss(arrays, step["positive"].numpy(), step["weight"].numpy(), own, highest)
        ctx.save_for_backward(u, y, gradient, step["time"])
        ctx.times = len(bias)
        return torch.tensor(loss, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        u, y, gradient, time = ctx.saved_tensors
        of_bias = torch.zeros(ctx.times, gradient.shape[1])
        _add_rows(gradient.numpy(), time.numpy(), of_bias.numpy())
        return scale * (gradient @ y), scale * (gradient.T @ u), scale * of_bias, None, None


def sampled_softmax(
    u: Tensor, y: Tensor, bias: Tensor, step: dict[str, Tensor], hits: bool, accidental: bool
) -> Tensor:
    """What `softmax_loss` gives of the scores u @ y.T + bias[time]. []"""
    correction = step["correction"][step["positive"]].exp() / (step["repeats"] + 1)
    more = torch.zeros_like(correction) if accidental else torch.log1p(step["repeats"] * correction)
    gone = step["hits"] if hits else step["hits"][:, :0]
    loss: Tensor = _SampledSoftmax.apply(u, y, bias, step | {"more": more}, gone)
    return loss
