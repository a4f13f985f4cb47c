"""The batch driver of an embedded home leaves what the stream of that home leaves."""

import asyncio

import pytest

from core.errors import NotFound, Unavailable
from core.video_table import VideoTable
from features.backfill.home import HomeReplay, run_home, write_home
from features.backfill.output import Output
from features.feast_offline import feast_folder, offline_path
from features.packed import unstamped
from features.state import FeatureState
from tests.features.test_drivers import Home, words
from tests.features.toy_state import PROFILES, every_kind
from tests.features.worldlet import START_MS, catalogue


@pytest.fixture
def events():
    return every_kind(catalogue(), 400, 6)


def replayed():
    state = FeatureState(VideoTable())
    words().restore(state)
    return HomeReplay(state, {user.user_id: user for user in PROFILES})


def counted(home, moments=(), folder=None, everything=True):
    return asyncio.run(run_home(home.log, replayed(), Output(folder, 7), moments, everything=everything))


def version(raw):
    return int.from_bytes(raw[16:24], "little")


def test_the_rows_and_versions_are_the_streams(tmp_path, events):
    home = Home(tmp_path, events)
    asyncio.run(home.processor().load())
    stream = home.rows()
    figures, final = counted(home)
    home.database.execute("DELETE FROM features")
    with home.database.transaction():
        asyncio.run(write_home(home.features, final, figures.offset))
    again = home.rows()
    assert set(again) == set(stream) and figures.counted == len(events)
    assert [key for key in stream if unstamped(again[key]) != unstamped(stream[key])] == []
    assert [key for key in stream if version(again[key]) != version(stream[key])] == []
    assert asyncio.run(home.features.applied_offset()) == asyncio.run(home.log.end())


def test_the_product_goes_on_from_rows_that_were_counted_again(tmp_path, events):
    home = Home(tmp_path, events[:250])
    figures, final = counted(home)
    asyncio.run(home.processor().load())  # the catalogue's table, for a process that starts later
    asyncio.run(write_home(home.features, final, figures.offset))
    asyncio.run(home.log.append(events[250:]))
    asyncio.run(home.processor().load())
    other = Home(tmp_path / "other", events)
    asyncio.run(other.processor().load())
    wanted = other.rows()
    assert [key for key, raw in home.rows().items() if unstamped(raw) != unstamped(wanted[key])] == []


def test_a_midnights_snapshot_has_only_what_came_before(tmp_path, events):
    import pyarrow.parquet as pq

    home, day = Home(tmp_path, events), 86_400_000
    moments = [START_MS + day * n for n in range(4)]
    counted(home, moments, tmp_path, everything=False)
    folder = feast_folder(tmp_path) / offline_path("viewer")
    assert [path.name for path in sorted(folder.iterdir())] == [f"{moment:015d}-home.parquet" for moment in moments]
    rows = [row for path in sorted(folder.iterdir()) for row in pq.read_table(path, partitioning=None).to_pylist()]
    latest = {row["viewer_id"]: row for row in rows}
    asyncio.run(home.log.append([]))
    for viewer, row in latest.items():
        own = [n for n, e in enumerate(events) if e.viewer_id == viewer and e.time_ms < moments[-1]]
        assert row["version"] == 40 + 1 + own[-1]  # the catalogue's 40 videos come first
        assert row["applied_us"] == events[own[-1]].time_ms * 1_000


def test_a_product_that_went_further_is_not_set_back(tmp_path, events):
    home = Home(tmp_path, events)
    figures, final = counted(home)
    asyncio.run(home.features.write({}, figures.offset + 1))
    with pytest.raises(Unavailable, match="stop what serves or imports"):
        asyncio.run(write_home(home.features, final, figures.offset))


def test_an_empty_log_is_said(tmp_path):
    class Empty:
        async def end(self):
            return 0

    with pytest.raises(NotFound, match="log of this home is empty"):
        asyncio.run(run_home(Empty(), replayed(), Output(tmp_path, 0), [], everything=True))
