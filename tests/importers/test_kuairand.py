"""The KuaiRand-Pure slice, counted against pandas; and its histories, whose times are made."""

import asyncio
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import NotFound
from core.events import AnyEvent, Impression, Like, VideoPublished, Watch, kind_of
from foryou.importers import ImportReport, ImportStores, import_kuairand
from foryou.importers.history import PREFIX, match_from_end
from foryou.importers.kuairand import ASSUMED_LENGTH_MS, SOURCE, day_of
from tests.importers.made_logs import events_in, open_stores


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    found = shared_data / "kuairand-pure"
    if not found.is_dir():
        pytest.skip(f"the KuaiRand-Pure slice is absent: no folder {found}")
    return found


@pytest.fixture(scope="module")
def imported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ImportStores, ImportReport]:
    stores = open_stores(tmp_path_factory.mktemp("home"))
    return stores, asyncio.run(import_kuairand(folder, stores))


@pytest.fixture(scope="module")
def events(imported: tuple[ImportStores, ImportReport]) -> list[AnyEvent]:
    return events_in(imported[0])


@pytest.fixture(scope="module")
def kept(folder: Path) -> pd.DataFrame:
    """The rows that should become events, by pandas."""
    rows = pd.read_parquet(folder / "impressions_0425_0430.parquet").drop_duplicates()
    rows["duration_ms"] = rows.duration_ms.where(rows.duration_ms > 0, ASSUMED_LENGTH_MS)
    return rows.drop_duplicates(["user_id", "video_id", "time_ms"])


@pytest.mark.data
def test_what_is_dropped_is_counted(imported: tuple[ImportStores, ImportReport]) -> None:
    report = imported[1]
    assert report.source == SOURCE
    assert report.rows == 94_784
    assert report.exact_duplicates == 2_750
    assert report.duplicates == 2_750 + 229  # 229 differ in nothing but the hour or a stay time
    assert report.rejected == Counter()
    assert report.notes["videos of an assumed length"] == 239
    assert report.notes["impressions of an assumed length"] == 1_665
    assert report.notes["dates that differ from time_ms"] == 785
    assert (report.videos, report.users) == (7_583, 27_285)


@pytest.mark.data
def test_every_kept_row_is_an_impression_with_its_reactions(events: list[AnyEvent], kept: pd.DataFrame) -> None:
    counts = Counter(kind_of(event) for event in events if not event.event_id.startswith(PREFIX))
    assert counts["impression"] == counts["watch"] == len(kept) == 91_805
    assert counts["like"] == kept.is_like.sum()
    assert counts["comment"] == kept.is_comment.sum()
    assert counts["share"] == kept.is_forward.sum()
    assert counts["not_interested"] == kept.is_hate.sum()
    assert counts["follow"] == kept.is_follow.sum()


@pytest.mark.data
def test_labels_and_watch_times_are_those_of_the_source(events: list[AnyEvent], kept: pd.DataFrame) -> None:
    watches = [e for e in events if isinstance(e, Watch) and not e.event_id.startswith(PREFIX)]
    assert [watch.long_view for watch in watches] == (kept.long_view == 1).tolist()
    assert [watch.click for watch in watches] == (kept.is_click == 1).tolist()
    clamped = np.minimum(kept.play_time_ms, 5 * kept.duration_ms)
    assert [watch.play_ms for watch in watches] == clamped.tolist()
    shown = [event for event in events if isinstance(event, Impression)]
    assert [event.time_ms for event in shown] == kept.time_ms.tolist()
    assert [event.surface for event in shown] == kept.tab.astype(str).tolist()


@pytest.mark.data
def test_every_event_names_a_published_video_and_an_id_of_its_own(events: list[AnyEvent]) -> None:
    published = {event.video_id for event in events if isinstance(event, VideoPublished)}
    assert {event.video_id for event in events} <= published
    assert len({event.event_id for event in events}) == len(events)


@pytest.mark.data
def test_histories_end_at_the_last_time_in_the_order_given(events: list[AnyEvent], folder: Path) -> None:
    lengths = {event.video_id: event.length_ms for event in events if isinstance(event, VideoPublished)}
    watched: dict[str, list[Watch]] = defaultdict(list)
    liked: dict[str, int] = Counter()
    for event in events:
        if event.event_id.startswith(PREFIX):
            if isinstance(event, Watch):
                watched[event.viewer_id].append(event)
            else:
                assert isinstance(event, Like)
                liked[event.viewer_id] += 1
    histories = pd.read_parquet(folder / "histories_0408_0424.parquet")
    for row in histories.itertuples():
        expected = [str(video) for video in row.watch_seq if str(video) in lengths]
        own = watched.get(str(row.user_id), [])
        assert [watch.video_id for watch in own] == expected
        times = [watch.time_ms for watch in own]
        assert times == sorted(times) and all(time <= row.last_time_ms for time in times)
        if row.history_len <= 50:  # nothing was cut, so every like and long watch is in the window
            long = sum(str(video) in lengths for video in row.long_watch_seq)
            assert sum(watch.long_view is True for watch in own) == long
            assert liked[str(row.user_id)] == sum(str(video) in lengths for video in row.like_seq)


@pytest.mark.data
def test_a_second_import_adds_nothing(imported: tuple[ImportStores, ImportReport], folder: Path) -> None:
    stores, first = imported
    again = asyncio.run(import_kuairand(folder, stores))
    assert (again.events, again.known) == (0, 91_805)
    assert (again.rejected, again.duplicates) == (first.rejected, first.duplicates)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no folder"):
        asyncio.run(import_kuairand(tmp_path / "none", open_stores(tmp_path / "home")))


def test_the_end_of_a_subsequence_is_found_in_the_window() -> None:
    # of b, a, c, b the last three lie in the window at places 1, 2 and 4, the first before it
    assert match_from_end(list("xacxb"), list("bacb")) == ({1, 2, 4}, 1)
    assert match_from_end([], ["a"]) == (set(), 1)
    assert match_from_end(["a", "a"], ["a"]) == ({1}, 0)


def test_a_day_begins_at_midnight_in_china() -> None:
    # 2022-04-24 16:00 UTC is midnight of the 25th in China
    times = np.array([1_650_816_000_000 - 1, 1_650_816_000_000])
    assert day_of(times).tolist() == [20220424, 20220425]
    assert day_of(times, 0.0).tolist() == [20220424, 20220424]
