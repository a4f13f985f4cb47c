"""Candidates as columns: merging sources, narrowing, widening."""

import numpy as np
import pytest

from core.batch import CandidateBatch, from_sources
from core.errors import ContractError


def int32(*values):
    return np.array(values, np.int32)


def test_a_row_from_two_sources_keeps_its_first_source_and_sets_both_bits():
    batch = from_sources([(0, int32(7, 3)), (2, int32(3, 9, 7))])
    assert batch.rows.tolist() == [7, 3, 9]
    assert batch.source.tolist() == [0, 0, 2]
    assert batch.source_mask.tolist() == [0b101, 0b101, 0b100]
    assert batch.rows.dtype == np.int32 and batch.source_mask.dtype == np.uint32


def test_a_source_that_repeats_a_row_gives_one_candidate():
    assert from_sources([(1, int32(5, 5, 4, 5))]).rows.tolist() == [5, 4]


@pytest.mark.parametrize("given", [[], [(0, int32())], [(0, int32()), (1, int32())]])
def test_no_rows_give_an_empty_batch(given):
    batch = from_sources(given)
    assert len(batch) == 0 and batch.rows.dtype == np.int32


def test_merging_agrees_with_a_dictionary_on_random_sources():
    rng = np.random.default_rng(3)
    for _ in range(50):
        given = [(n, rng.integers(0, 30, rng.integers(0, 20)).astype(np.int32)) for n in range(4)]
        oracle: dict[int, list[int]] = {}
        for number, rows in given:
            for row in rows.tolist():
                oracle.setdefault(row, []).append(number)
        batch = from_sources(given)
        assert batch.rows.tolist() == list(oracle)
        assert batch.source.tolist() == [numbers[0] for numbers in oracle.values()]
        assert batch.source_mask.tolist() == [sum(1 << n for n in set(numbers)) for numbers in oracle.values()]


def test_take_narrows_every_column_by_mask_or_by_index():
    batch = from_sources([(0, int32(4, 5, 6))]).with_columns({"x": np.array([[1, 1], [2, 2], [3, 3]])})
    assert batch.take(np.array([True, False, True])).rows.tolist() == [4, 6]
    reordered = batch.take(np.array([2, 0]))
    assert reordered.rows.tolist() == [6, 4] and reordered["x"].tolist() == [[3, 3], [1, 1]]


def test_columns_are_added_without_changing_the_batch_before():
    first = from_sources([(0, int32(1))])
    second = first.with_columns({"x": np.array([1.0])}).with_columns({"x": np.array([2.0])})
    assert second["x"].tolist() == [2.0] and dict(first.columns) == {}


def test_a_column_that_nobody_added_is_named_with_those_there_are():
    batch = CandidateBatch(int32(1), np.zeros(1, np.uint8), np.ones(1, np.uint32), {"author": int32(1)})
    with pytest.raises(ContractError, match=r"'topic'.*author"):
        batch["topic"]
