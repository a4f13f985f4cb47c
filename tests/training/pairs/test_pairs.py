from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from core.errors import InputError
from training.pairs.pairs import held_out, matrix_of, read_pairs, read_split, users_of


def write(path: Path, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), path)
    return path


def test_a_pair_counts_once_however_often_it_stands_in_the_file():
    matrix = matrix_of(np.array([0, 0, 1]), np.array([2, 2, 0]), (3, 3))
    assert matrix.toarray().tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert users_of(matrix).tolist() == [0, 1]


def test_both_files_share_the_users_and_items_that_either_has(tmp_path):
    write(tmp_path / "train.parquet", u=[0, 4], i=[1, 0])
    write(tmp_path / "test.parquet", u=[1], i=[6])
    train, test = read_split(tmp_path)
    assert train.shape == test.shape == (5, 7)
    assert (train.nnz, test.nnz) == (2, 1)


def test_the_share_to_tune_on_and_the_rest_are_the_pairs_again_and_a_seed_repeats_them():
    rng = np.random.default_rng(1)
    matrix = matrix_of(rng.integers(50, size=2000), rng.integers(80, size=2000), (50, 80))
    fit, held = held_out(matrix, 0.1, seed=3)
    assert ((fit + held) != matrix).nnz == 0
    assert 0.05 < held.nnz / matrix.nnz < 0.15
    assert (held_out(matrix, 0.1, seed=3)[1] != held).nnz == 0
    assert (held_out(matrix, 0.1, seed=4)[1] != held).nnz > 0


@pytest.mark.parametrize("columns", [{"u": [0], "item": [1]}, {"u": ["a"], "i": [1]}, {"u": [-1], "i": [1]}])
def test_a_file_that_holds_no_pairs_is_refused_in_one_sentence(tmp_path, columns):
    path = write(tmp_path / "train.parquet", **columns)
    with pytest.raises(InputError, match=r"train\.parquet"):
        read_pairs(path)


def test_a_file_that_is_absent_or_something_else_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match="none"):
        read_pairs(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("u,i")
    with pytest.raises(InputError, match="text"):
        read_pairs(tmp_path / "text.parquet")
