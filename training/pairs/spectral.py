"""Closed forms on the normalised matrix: its truncated SVD and the graph filter of GF-CF."""

import numba
import numpy as np
import torch

from core.arrays import Array, Float32, Int64
from training.pairs.evaluation import BLOCK, Scores
from training.pairs.graph import degrees, normalised, product
from training.pairs.pairs import Matrix


def truncated_svd(
    matrix: Matrix, rank: int, seed: int, rounds: int = 3, spare: int = 32
) -> tuple[Float32, Float32, Float32]:
    """The largest singular triples by subspace iteration (Halko, Martinsson and Tropp 2011), largest first.

    [rows, rank], [rank], [rank, columns] float32; `spare` more are iterated for the sake of the last ones kept. After
    few rounds those are still mixed with what follows them, which is no harm to towers that begin with them."""
    transpose = matrix.T.tocsr()
    width = min(rank + spare, min(matrix.shape))
    rank = min(rank, width)
    basis = np.random.default_rng(seed).normal(size=(matrix.shape[1], width)).astype(np.float32)
    for _ in range(rounds):
        basis, _ = _orthonormal(product(transpose, product(matrix, basis)))
    tall, small = _orthonormal(product(matrix, basis))
    left, values, right = np.linalg.svd(small)
    return tall @ left[:, :rank], values[:rank], np.asarray(right[:rank] @ basis.T, np.float32)


def _orthonormal(columns: Float32) -> tuple[Float32, Float32]:
    """The QR decomposition in float32, where NumPy's own would take float64 and five times as long."""
    basis, small = torch.linalg.qr(torch.from_numpy(columns))
    return basis.numpy(), small.numpy()


@numba.njit(cache=True, fastmath=True)
def _two_steps(
    taken: tuple[Array, Array],
    backward: tuple[Array, Array, Float32],
    forward: tuple[Array, Array, Float32],
    users: Int64,
    near: Float32,
    out: Float32,
) -> None:
    """For each of the users: items -> who took them (into `near` [users]) -> what those took (into `out`)."""
    for at, user in enumerate(users):
        near[:] = 0
        for item in taken[1][taken[0][user] : taken[0][user + 1]]:
            for place in range(backward[0][item], backward[0][item + 1]):
                near[backward[1][place]] += backward[2][place]
        out[at] = 0
        for other in range(len(near)):
            if near[other] != 0:
                for place in range(forward[0][other], forward[0][other + 1]):
                    out[at, forward[1][place]] += near[other] * forward[2][place]


def linear_filter(matrix: Matrix, user_power: float = 1.0) -> Scores:
    """x D^-1/2 R' E^-power R D^-1/2 for users' rows x of the matrix R, D and E the degrees of items and users.

    Items that share takers with the user's own; power 1 is GF-CF's, less lets takers with long histories say more."""
    forward = normalised(matrix, user_power, 0.5)
    backward = normalised(matrix, 0.0, 0.5).T.tocsr()
    parts = [(m.indptr, m.indices, m.data) for m in (backward, forward)]
    near = np.empty(matrix.shape[0], np.float32)
    out = np.empty((BLOCK, matrix.shape[1]), np.float32)

    def scores(users: Int64) -> Float32:
        rows = out[: len(users)]
        _two_steps((matrix.indptr, matrix.indices), parts[0], parts[1], users, near, rows)
        return rows

    return scores


def low_pass(matrix: Matrix, rank: int = 256, seed: int = 0, rounds: int = 24) -> Scores:
    """x D^-1/2 V V' D^1/2 for V the first right singular vectors of the normalised matrix and D the items' degrees."""
    root = np.sqrt(degrees(matrix, 0))
    _, _, right = truncated_svd(normalised(matrix), rank, seed, rounds, spare=rank // 2)
    before, after = np.ascontiguousarray(right.T / root[:, None], np.float32), right * root
    return lambda users: np.asarray(product(matrix[users], before) @ after, np.float32)


def graph_filter(matrix: Matrix, weight: float = 0.3, rank: int = 256, rounds: int = 24) -> Scores:
    """GF-CF (Shen et al. 2021): the linear filter plus `weight` x the ideal low-pass filter."""
    linear, ideal = linear_filter(matrix), low_pass(matrix, rank, rounds=rounds)
    return lambda users: linear(users) + np.float32(weight) * ideal(users)
