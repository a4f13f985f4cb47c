"""Records that are mostly zeros come back as they were."""

import numpy as np
import pytest

from core.errors import CorruptData
from core.sparse import squeeze, unsqueeze, unsqueeze_all, whole


def test_a_squeezed_record_comes_back_and_takes_less_room():
    rng = np.random.default_rng(0)
    for words in (1, 7, 8, 9, 580):
        records = rng.integers(-(2**63), 2**63, (50, words)) * (rng.random((50, words)) < 0.1)
        rows = [row.tobytes() for row in records]
        small = squeeze(rows)
        assert [unsqueeze(raw) for raw in small] == unsqueeze_all(small) == rows
        assert words < 580 or sum(map(len, small)) < sum(map(len, rows)) / 5


def test_rows_of_other_lengths_come_back_too():
    for rows in (
        [np.arange(1153, dtype=np.int32).tobytes()[:4610]] * 3,
        [],
        [b""],
        [b"abc"],
        [b"12345678", b"1234567890123456"],
        [b"\0" * 8, b"\0" * 8],
    ):
        assert [unsqueeze(raw) for raw in squeeze(rows)] == unsqueeze_all(squeeze(rows)) == rows


def test_a_shortened_record_is_found_out():
    [raw] = squeeze([np.arange(9).tobytes()])
    with pytest.raises(CorruptData, match="not what was written"):
        unsqueeze(raw[:-1])
    with pytest.raises(CorruptData, match="not what was written"):
        unsqueeze_all([raw, raw[:-8]])
    with pytest.raises(CorruptData, match="not what was written"):
        unsqueeze_all([raw[:6]])


def test_rows_are_whole_whether_they_were_squeezed_or_not():
    rows = [np.eye(1, 90, 4).tobytes(), b"", None, b"\1plain", np.eye(1, 90, 7).tobytes(), b"\1" * 90]
    small = [squeeze([row])[0] if row is not None and len(row) == 720 else row for row in rows]
    assert whole(small) == whole(rows) == rows
