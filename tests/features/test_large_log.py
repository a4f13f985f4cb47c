"""A log that does not fit into one block, in files: the same rows, and rows of the chosen impressions alone."""

import asyncio

import numpy as np
import pytest

from core.ports import Record
from core.room import Growing, Room
from core.video_table import Vocabulary
from features import batch as driver_module
from features import join
from features.batch import BatchDriver
from features.columns import columns_of, read_columns
from features.layout import OP
from features.state import FeatureState
from tests.features.toy_state import PROFILES, batch, catalogue, every_kind

EVENTS = 400


@pytest.fixture(scope="module")
def events():
    return every_kind(catalogue(), EVENTS, seed=11)


def large(events, folder, monkeypatch, choose=None):
    """(driver, rows) in blocks of some events, with every array in a file."""
    room = Room(folder, least_bytes=1)
    monkeypatch.setattr(driver_module, "BLOCK", 37)
    monkeypatch.setattr(join._of_viewers, "__defaults__", (60,))
    table, viewers = catalogue(), {}
    columns = columns_of([Record(n, e) for n, e in enumerate(events, 1)], table, viewers, Vocabulary())
    driver = BatchDriver(FeatureState(table), columns, viewers, room)
    driver.set_profiles(PROFILES)
    return driver, driver.run(room=room, choose=choose)


def test_blocks_and_files_change_no_bit(events, tmp_path, monkeypatch):
    driver, rows = batch(events)
    watches = driver.watches()
    other, found = large(events, tmp_path, monkeypatch)
    assert isinstance(found.features.base, np.memmap) and list(tmp_path.iterdir()) == []
    assert found.features.tobytes() == rows.features.tobytes()
    assert driver.records.tobytes() == other.records.tobytes()
    for name, label in rows.labels.items():
        np.testing.assert_array_equal(found.labels[name], label, err_msg=name)
    for one, two in zip((*rows.past, *watches), (*found.past, *other.watches()), strict=True):
        np.testing.assert_array_equal(one, two)


def test_chosen_impressions_have_the_rows_that_they_have_among_all(events, tmp_path, monkeypatch):
    _, rows = batch(events)
    asked = []

    def every_third(time_ms, watched, reactions):
        asked.append((time_ms, watched, reactions))
        return np.arange(0, len(time_ms), 3)

    _, some = large(events, tmp_path, monkeypatch, every_third)
    chosen = np.arange(0, len(rows), 3)
    time_ms, watched, reactions = asked[0]
    np.testing.assert_array_equal(time_ms, rows.time_ms)
    np.testing.assert_array_equal(watched, ~np.isnan(rows.labels["long_view"]))
    liked = (reactions & (1 << OP["like"])) != 0
    np.testing.assert_array_equal(liked[watched], rows.labels["like"][watched] > 0)
    assert some.matrix(some.select(np.ones(len(some), bool))).tobytes() == rows.matrix(chosen).tobytes()
    np.testing.assert_array_equal(some.video, rows.video[chosen])


def test_a_log_is_read_into_files_as_it_is_into_memory(events, tmp_path):
    class Log:
        async def end(self):
            return EVENTS

        async def read(self, after, count):
            return [Record(n, e) for n, e in enumerate(events, 1)][after : after + 90]

    wanted, wanted_viewers = asyncio.run(read_columns(Log(), catalogue(), Vocabulary()))
    found, viewers = asyncio.run(read_columns(Log(), catalogue(), Vocabulary(), room=Room(tmp_path, least_bytes=500)))
    assert viewers == wanted_viewers and isinstance(found.time_ms.base, np.memmap)
    for name in wanted.__dataclass_fields__:
        one, two = getattr(found, name), getattr(wanted, name)
        assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two, err_msg=name)


def test_nothing_added_is_an_empty_array(tmp_path):
    assert Growing(Room(tmp_path), np.int32).whole().tolist() == []
