"""The graph of users and items: its normalised matrix, products with it, and gradients through them."""

from dataclasses import dataclass

import numba
import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from core.arrays import Array, Float32, Int64
from training.pairs.pairs import Matrix


@numba.njit(cache=True, fastmath=True)
def _multiply(starts: Array, columns: Array, values: Float32, right: Float32, out: Float32) -> None:
    """A sparse matrix times `right` [columns, dim] into `out` [rows, dim]: one thread, so a fixed order of sums."""
    for row in range(len(starts) - 1):
        out[row] = 0
        for at in range(starts[row], starts[row + 1]):
            value, column = values[at], columns[at]
            for d in range(right.shape[1]):
                out[row, d] += value * right[column, d]


def degrees(matrix: Matrix, axis: int) -> Float32:
    """The sums along an axis, at least 1 so that they divide. float32"""
    sums: Float32 = np.maximum(np.asarray(matrix.sum(axis=axis), np.float32).ravel(), 1)
    return sums


def normalised(matrix: Matrix, user_power: float = 0.5, item_power: float = 0.5) -> Matrix:
    """Each pair divided by degree(user) ** user_power x degree(item) ** item_power. [users, items]"""
    user = sparse.diags(degrees(matrix, 1) ** np.float32(-user_power))
    item = sparse.diags(degrees(matrix, 0) ** np.float32(-item_power))
    result = (user @ matrix @ item).tocsr().astype(np.float32)
    result.sort_indices()
    return result


@dataclass(frozen=True)
class Graph:
    """The normalised matrix and its transpose, both in rows; `order` takes the values of one to those of the other."""

    forward: Matrix
    backward: Matrix
    order: Int64

    @classmethod
    def of(cls, matrix: Matrix) -> "Graph":
        """The graph of (user, item) pairs, each weighing 1 / sqrt(degree(user) x degree(item))."""
        forward = normalised(matrix)
        numbered = sparse.csr_matrix((np.arange(forward.nnz), forward.indices, forward.indptr), forward.shape)
        order = numbered.T.tocsr().data.astype(np.int64)
        return cls(forward, forward.T.tocsr(), order)

    def thinned(self, drop: float, rng: np.random.Generator) -> "Graph":
        """The same graph without a random share of its pairs, the others weighing more by as much."""
        kept = (rng.random(self.forward.nnz) >= drop) / np.float32(1 - drop)
        values = (self.forward.data * kept).astype(np.float32)
        return Graph(_with_values(self.forward, values), _with_values(self.backward, values[self.order]), self.order)

    def to_users(self, items: Tensor) -> Tensor:
        """The items' vectors [items, dim] summed over each user's history. [users, dim]"""
        vectors: Tensor = _Product.apply(self.forward, self.backward, items)
        return vectors

    def to_items(self, users: Tensor) -> Tensor:
        """The users' vectors [users, dim] summed over each item's takers. [items, dim]"""
        vectors: Tensor = _Product.apply(self.backward, self.forward, users)
        return vectors


def _with_values(matrix: Matrix, values: Float32) -> Matrix:
    return sparse.csr_matrix((values, matrix.indices, matrix.indptr), matrix.shape)


def product(matrix: Matrix, right: Float32) -> Float32:
    """A sparse matrix times a dense one. [rows, dim] float32"""
    out = np.empty((matrix.shape[0], right.shape[1]), np.float32)
    _multiply(matrix.indptr, matrix.indices, matrix.data, np.ascontiguousarray(right, np.float32), out)
    return out


class _Product(torch.autograd.Function):
    """A constant sparse matrix times a tensor; its gradient is the transpose times the gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, matrix: Matrix, transpose: Matrix, right: Tensor) -> Tensor:
        ctx.transpose = transpose  # type: ignore[attr-defined]
        return torch.from_numpy(product(matrix, right.detach().numpy()))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[None, None, Tensor]:
        transpose = ctx.transpose  # type: ignore[attr-defined]
        return None, None, torch.from_numpy(product(transpose, gradients[0].numpy()))
