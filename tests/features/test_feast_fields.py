"""The raw fields are generated from the packed layout and leave nothing of it out."""

import numpy as np
import pytest

from core.errors import ContractError
from features.feast_fields import ENTITIES, SESSION, raw_fields
from features.layout import COUNTS_DTYPE, VIDEO_HALF_LIVES, VIEWER_DTYPE


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_byte_of_a_row_belongs_to_exactly_one_field(entity):
    rows = ENTITIES[entity]
    owners = np.zeros(rows.dtype.itemsize, int)
    for field in rows.fields:
        owners[field.offset : field.offset + field.count * np.dtype(field.format).itemsize] += 1
    assert (owners == 1).all()
    assert len({field.name for field in rows.fields}) == len(rows.fields)


def test_every_part_of_the_dtypes_has_fields_and_a_meaning():
    for rows in ENTITIES.values():
        assert {field.part for field in rows.fields} == set(rows.dtype.names)
        assert all(field.meaning != field.part for field in rows.fields)


def test_a_name_says_which_cell_it_is():
    record = np.zeros(1, COUNTS_DTYPE)
    record["counts"][0, 2, 6] = 65_536  # half-lives 6h, 2d, 30d; the seventh action is "likes"
    record["totals"][0, 0] = 9
    flat = record.view(ENTITIES["video"].layout)[0]
    assert flat["counts_30d_likes"] == 65_536
    assert flat["totals_views"] == 9
    assert sum(int(flat[name]) for name in flat.dtype.names) == 65_536 + 9


def test_arrays_keep_their_order():
    record = np.zeros(1, VIEWER_DTYPE)
    record["history_video"][0] = np.arange(50)
    record["pair_count"][0, 3, 2] = 7
    record["session"][0] = [10, 20, 1, 2, 3, 4]
    flat = record.view(ENTITIES["viewer"].layout)[0]
    assert flat["history_video"].tolist() == list(range(50))
    assert flat["pair_count"].tolist().index(7) == 3 * 5 + 2
    assert [int(flat[f"session_{name}"]) for name in SESSION] == [10, 20, 1, 2, 3, 4]


def test_labels_that_no_longer_fit_the_layout_are_refused():
    wider = np.dtype([("session", np.int64, (len(SESSION) + 1,))])
    with pytest.raises(ContractError, match="session"):
        raw_fields(wider, VIDEO_HALF_LIVES)
