"""Feast's point-in-time join finds the state that serving read, at its moment and up to the next one."""

import asyncio

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.definitions import NAMES
from features.feast_fields import ENTITIES
from features.feast_offline import feast_folder, offline_path, states_table
from features.feast_repo import apply
from features.layout import COUNTS_DTYPE
from features.skew.feast_join import _ambiguous, _ends, check_join, joined, write_states
from features.skew.one_log import LogCatalogue
from features.skew.states import State, StateKey
from tests.features.served_world import ServedWorld

pytestmark = pytest.mark.filterwarnings("ignore")
AT_US = 1_704_067_200_000_000


def state(version, count):
    record = np.zeros(1, COUNTS_DTYPE)
    record["version"], record["counts"][0, 0, 0], record["steps"] = version, count, 1
    return State(record.tobytes(), 0)


def test_logged_rows_by_feasts_join_are_within_one_ulp(tmp_path):
    world = ServedWorld(tmp_path)
    replayed = world.check(world.live(300, 40))
    report = asyncio.run(check_join(replayed, LogCatalogue(world.log), tmp_path / "repository"))
    assert (report.rows, report.wrong_states, report.ambiguous_states) == (800, 0, 0)
    assert report.max_ulp <= 1 and report.beyond_one_ulp == ()
    assert report.states == replayed.report.states > 300


def test_a_state_that_serving_did_not_read_is_noticed_by_feature(tmp_path):
    world = ServedWorld(tmp_path)
    replayed = world.check(world.live(60, 8))
    key = next(key for key in replayed.states if key.entity == "video")
    record = np.frombuffer(replayed.states[key].row, COUNTS_DTYPE).copy()
    record["counts"] += 1 << 16
    states = dict(replayed.states) | {key: State(record.tobytes(), 0)}
    replayed = type(replayed)(replayed.slates, replayed.keys, states, replayed.report)
    report = asyncio.run(check_join(replayed, LogCatalogue(world.log), tmp_path / "repository"))
    named = {difference.feature for difference in report.beyond_one_ulp}
    assert "video_watches_6h" in named and named <= {name for name in NAMES if name.startswith("video_")}


def test_each_state_is_found_from_its_moment_to_a_microsecond_before_the_next(tmp_path):
    keys = [StateKey("video", "v1", version) for version in (5, 9, 12)]
    moments = [(keys[0], AT_US), (keys[1], AT_US + 1), (keys[2], AT_US + 1_000)]
    states = {key: state(key.version, 7 * key.version) for key in keys}
    store = apply(tmp_path)
    write_states(tmp_path, "video", moments, states)
    first, last = _ends(moments)
    assert (last - first).tolist() == [0, 998, 1_000_000]
    for at in (first, last):
        assert joined(store, "video", moments, at)["version"].tolist() == [5, 9, 12]
    # one microsecond earlier nothing, or the state before, is found
    assert joined(store, "video", moments, first - 1)["version"].tolist() == [0, 5, 9]


def test_states_of_one_row_in_one_microsecond_cannot_be_told_apart_and_are_said_so():
    keys = [StateKey("video", name, version) for name, version in (("v1", 5), ("v1", 9), ("v2", 9))]
    assert _ambiguous([(keys[0], AT_US), (keys[1], AT_US), (keys[2], AT_US)]).tolist() == [True, True, False]


def test_the_created_cut_off_hides_what_was_written_later(tmp_path):
    store, rows = apply(tmp_path), ENTITIES["video"]
    folder = feast_folder(tmp_path) / offline_path("video")
    folder.mkdir(parents=True)
    states = [state(5, 1).row, state(6, 2).row, state(7, 3).row]
    # 6 corrects 5 an hour later; 7 is of a later moment, and was created before the correction
    event = np.array([AT_US, AT_US, AT_US + 60_000_000])
    created = np.array([AT_US, AT_US + 3_600_000_000, AT_US + 60_000_000])
    pq.write_table(states_table(rows, ["v1"] * 3, states, event, created), folder / "states.parquet")

    def versions(cut_off, *after_us):
        moments = pd.to_datetime([AT_US + us for us in after_us], unit="us", utc=True)
        asked = pd.DataFrame({"video_id": "v1", "event_timestamp": moments})
        job = store.get_historical_features(asked, ["video:version"], filter_by_created_timestamp=cut_off)
        return job.to_df()["version"].tolist()

    assert versions(False, 0, 60_000_000, 7_200_000_000) == [6, 7, 7]
    assert versions(True, 0, 60_000_000, 7_200_000_000) == [5, 7, 7]
