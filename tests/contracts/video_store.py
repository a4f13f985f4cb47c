"""What every VideoStore promises."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from core.catalogue import VideoRecord
from core.events import Event, VideoRemoved, VideoUpdated
from core.ports import VideoStore
from core.video_table import BLOCKED, FRIENDS, PUBLIC, REMOVED, VideoTable
from tests.contracts.events import DAY_MS, published, records


def _updated(video: str, **fields: object) -> VideoUpdated:
    return VideoUpdated(event_id=f"u{video}", viewer_id="bo", time_ms=DAY_MS, video_id=video, **fields)  # type: ignore[arg-type]


def _removed(video: str) -> VideoRemoved:
    return VideoRemoved(event_id=f"r{video}", viewer_id="bo", time_ms=DAY_MS, video_id=video)


class VideoStoreContract:
    """Inherit it and give `open_videos`; opening the same folder again is a restart."""

    def open_videos(self, folder: Path) -> VideoStore:
        """The store kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> VideoStore:
        return self.open_videos(tmp_path)

    def test_words_keep_the_codes_of_their_first_sight_also_those_that_no_video_has_any_more(
        self, store: VideoStore, tmp_path: Path
    ) -> None:
        events = (published("a", topic="cats"), published("b", topic="dogs"))
        changes = (_updated("a", topic="owls"), published("c", topic="bats"), _updated("b", topic="owls"))
        asyncio.run(store.apply(records(*events)))
        asyncio.run(store.apply(records(*changes, start=3)))
        for opened in (store, self.open_videos(tmp_path)):
            table = asyncio.run(opened.load())
            assert table.topics.words == ["", "cats", "dogs", "owls", "bats"]
            assert table.topic.tolist() == [3, 3, 4]

    def test_rows_are_given_in_order_of_first_publication_and_for_ever(self, store: VideoStore) -> None:
        asyncio.run(store.apply(records(published("b"), published("a"))))
        asyncio.run(store.apply(records(published("b", topic="dogs"), published("c"), start=3)))
        found = asyncio.run(store.videos(["a", "b", "c", "nothing"]))
        assert [None if video is None else video.row for video in found] == [1, 0, 2, None]
        assert found[1] is not None and found[1].video.topic == "dogs"

    def test_a_video_comes_back_as_it_was_published(self, store: VideoStore) -> None:
        event = published("v", hashtags=("x", "y"), title="T", music_id="m", content_embedding=(0.5, -0.25))
        asyncio.run(store.apply(records(event)))
        assert asyncio.run(store.videos(["v"])) == [VideoRecord(row=0, video=event)]

    def test_an_update_changes_what_it_names(self, store: VideoStore) -> None:
        asyncio.run(store.apply(records(published("v", title="T"), _updated("v", topic="tea", visibility="friends"))))
        asyncio.run(store.apply(records(_updated("nothing", topic="tea"), start=3)))
        (found,) = asyncio.run(store.videos(["v"]))
        assert found is not None
        assert (found.video.topic, found.video.title, found.visibility) == ("tea", "T", "friends")

    def test_a_removed_video_stays_removed(self, store: VideoStore) -> None:
        events = [published("v"), _removed("v"), _updated("v", visibility="public"), published("v")]
        asyncio.run(store.apply(records(*events)))
        (found,) = asyncio.run(store.videos(["v"]))
        assert found is not None and found.visibility == "removed"

    def test_blocked_regions_stay_through_publication_and_author_and_are_lifted_by_an_update(
        self, store: VideoStore, tmp_path: Path
    ) -> None:
        events = [published("v", blocked_regions=("DE",)), published("w"), _updated("w", blocked_regions=("*",))]
        events += [published("v", title="again"), _updated("v", visibility="public"), _updated("w", title="mine")]
        asyncio.run(store.apply(records(*events)))
        for opened in (store, self.open_videos(tmp_path)):
            found = asyncio.run(opened.videos(["v", "w"]))
            assert [one.video.blocked_regions for one in found if one is not None] == [("DE",), ("*",)]
            assert seen_in(asyncio.run(opened.load()), "DE", "FR", "") == [
                [BLOCKED] * 2,
                [PUBLIC, BLOCKED],
                [BLOCKED] * 2,
            ]
        asyncio.run(store.apply(records(_updated("v", blocked_regions=()), _updated("w", blocked_regions=()), start=9)))
        assert seen_in(asyncio.run(self.open_videos(tmp_path).load()), "DE", "") == [[PUBLIC] * 2] * 2

    def test_a_record_that_comes_again_changes_nothing(self, store: VideoStore) -> None:
        history = records(published("v"), _updated("v", topic="tea"))
        asyncio.run(store.apply(history))
        asyncio.run(store.apply(history[:1]))
        (found,) = asyncio.run(store.videos(["v"]))
        assert found is not None and found.video.topic == "tea"

    def test_the_loaded_table_equals_the_one_that_lived_through_the_events(self, tmp_path: Path) -> None:
        random = np.random.default_rng(5)
        events: list[Event] = []
        for number in range(300):
            vector = tuple(float(x) for x in np.float32(random.normal(size=4))) if number % 3 else ()
            author, topic = f"a{number % 7}", f"t{number % 5}"
            events.append(published(f"v{number}", author, topic=topic, language="xy", content_embedding=vector))
        events += [_removed("v3"), _updated("v4", visibility="friends"), _updated("v0", content_embedding=(1.0,) * 4)]
        events += [_updated("v5", blocked_regions=("DE", "FR")), _updated("v6", blocked_regions=("DE",))]
        events += [_updated("v6", blocked_regions=())]
        asyncio.run(self.open_videos(tmp_path).apply(records(*events)))
        loaded = asyncio.run(self.open_videos(tmp_path).load())
        assert_same(loaded, lived(events))
        assert (loaded.visibility[3], loaded.visibility[4]) == (REMOVED, FRIENDS)

    def test_an_empty_catalogue_loads(self, store: VideoStore) -> None:
        assert len(asyncio.run(store.load())) == 0


def seen_in(table: VideoTable, *regions: str) -> list[list[int]]:
    """The visibility of every video in each region."""
    rows = np.arange(len(table), dtype=np.int32)
    return [table.visibility_in(rows, region).tolist() for region in regions]


def lived(events: list[Event]) -> VideoTable:
    """The table that applied every event itself: the slow oracle."""
    table = VideoTable()
    for record in records(*events):
        if isinstance(record.event, VideoUpdated):
            table.update(record.event)
        elif isinstance(record.event, VideoRemoved):
            table.remove(record.event)
        else:
            table.publish(record.event)  # type: ignore[arg-type]
    return table


def assert_same(one: VideoTable, other: VideoTable) -> None:
    """Equal ids, columns, words and embeddings."""
    assert one.video_ids == other.video_ids
    for name in ("author", "topic", "language", "region", "cluster", "length_ms", "upload_ms", "visibility", "blocked"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.authors.words == other.authors.words
    assert seen_in(one, "DE", "IT", "") == seen_in(other, "DE", "IT", "")
    np.testing.assert_array_equal(one.embedding, other.embedding)
