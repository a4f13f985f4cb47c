"""(user, item) pairs as a sparse binary matrix: read from a file, checked, and split."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
from scipy import sparse

from core.arrays import Int64
from core.errors import InputError

Matrix = Any  # scipy.sparse.csr_matrix [users, items] float32, column numbers ascending; scipy ships no types


def read_pairs(path: Path) -> tuple[Int64, Int64]:
    """Users and items, columns `u` and `i` of a Parquet file. Raises InputError."""
    try:
        table = parquet.read_table(path, columns=["u", "i"])
        user, item = (table[name].to_numpy().astype(np.int64) for name in ("u", "i"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no Parquet file of whole numbers u and i; name one that is.") from error
    if len(user) == 0 or min(user.min(), item.min()) < 0:
        raise InputError(f"{path} has no pairs or a negative number; users and items count from 0.")
    return user, item


def matrix_of(user: Int64, item: Int64, shape: tuple[int, int]) -> Matrix:
    """1 where a user took an item, however often. [users, items]"""
    matrix = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def read_split(folder: Path) -> tuple[Matrix, Matrix]:
    """`train.parquet` and `test.parquet` of a folder over the users and items of both."""
    files = [read_pairs(folder / f"{name}.parquet") for name in ("train", "test")]
    users, items = (1 + max(int(pairs[axis].max()) for pairs in files) for axis in (0, 1))
    train, test = (matrix_of(user, item, (users, items)) for user, item in files)
    return train, test


def held_out(matrix: Matrix, share: float, seed: int) -> tuple[Matrix, Matrix]:
    """The pairs to fit on, and a random share of the pairs to tune on."""
    pairs = matrix.tocoo()
    chosen = np.random.default_rng(seed).random(matrix.nnz) < share
    fit, held = (matrix_of(pairs.row[part], pairs.col[part], matrix.shape) for part in (~chosen, chosen))
    return fit, held


def users_of(matrix: Matrix) -> Int64:
    """The users with at least one item, ascending."""
    return np.flatnonzero(np.diff(matrix.indptr)).astype(np.int64)
