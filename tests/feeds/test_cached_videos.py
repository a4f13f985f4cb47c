"""Video records are read once an hour, by whoever asks first, and again as soon as the catalogue changes them."""

import asyncio

import pytest

from backends.memory import MemoryBytes
from core.catalogue import VideoRecord
from core.events import VideoPublished, VideoRemoved, VideoUpdated
from core.video_table import VideoTable
from feeds.cached_videos import CachedVideos


def published(number, title="first"):
    return VideoPublished(
        event_id=f"p{number}", viewer_id="a", time_ms=1, video_id=f"v{number}", author_id="a", length_ms=9_000,
        upload_ms=1, title=title,
    )  # fmt: skip


class Shelf:
    """Four videos, the reads that were made of them, and the cache before them."""

    def __init__(self):
        self.now_ms, self.reads, self.looks, self.table = 0, [], [], VideoTable()
        for number in range(4):
            self.table.publish(published(number))
        self.title = "first"
        cache = MemoryBytes(lambda: self.now_ms)
        self.cached = CachedVideos(self, cache, self.table, self.looks.append)

    async def videos(self, ids):
        self.reads.append(list(ids))
        await asyncio.sleep(0)
        return [VideoRecord(row=int(name[1:]), video=published(name[1:], self.title)) if self.table.row(name) >= 0
                else None for name in ids]  # fmt: skip

    def titles(self, *ids):
        return [record and record.video.title for record in asyncio.run(self.cached.videos(ids))]


@pytest.fixture
def shelf():
    return Shelf()


def test_a_record_is_read_once_an_hour_and_each_look_is_told(shelf):
    assert shelf.titles("v0", "v1") == shelf.titles("v1", "v0") == ["first", "first"]
    assert shelf.titles("v1", "v2") == ["first"] * 2 and shelf.reads == [["v0", "v1"], ["v2"]]
    assert shelf.looks == [False, False, True, True, True, False]
    shelf.now_ms = 3_600_000
    shelf.titles("v1")
    assert shelf.reads[-1] == ["v1"]


@pytest.mark.parametrize("change", [
    VideoUpdated(event_id="u", viewer_id="a", time_ms=2, video_id="v0", title="second"),
    VideoRemoved(event_id="r", viewer_id="a", time_ms=2, video_id="v0"),
    published(0, "second"),
])  # fmt: skip
def test_what_the_catalogue_changed_is_read_again(shelf, change):
    shelf.titles("v0", "v1")
    shelf.title = "second"
    {VideoUpdated: shelf.table.update, VideoRemoved: shelf.table.remove}.get(type(change), shelf.table.publish)(change)
    assert shelf.titles("v0", "v1") == ["second", "first"] and shelf.reads[1:] == [["v0"]]


def test_an_unknown_video_is_none_and_asked_for_again(shelf):
    assert shelf.titles("v9", "v0") == [None, "first"] and shelf.titles("v9") == [None]
    assert shelf.reads == [["v9", "v0"], ["v9"]]


def test_many_who_ask_at_once_cost_one_reading(shelf):
    async def crowd():
        return await asyncio.gather(*(shelf.cached.videos([f"v{n % 2}", f"v{n % 3}"]) for n in range(50)))

    answers = asyncio.run(crowd())
    assert [[record.video.video_id for record in answer] for answer in answers] == [
        [f"v{n % 2}", f"v{n % 3}"] for n in range(50)
    ]
    assert sorted(video for read in shelf.reads for video in read) == ["v0", "v1", "v2"]


def test_a_reading_that_fails_fails_for_who_waited_and_is_tried_again(shelf):
    async def broken(ids):
        await asyncio.sleep(0)
        raise ValueError("broken")

    whole, shelf.videos = shelf.videos, broken
    with pytest.raises(ValueError, match="broken"):
        shelf.titles("v0")
    shelf.videos = whole
    assert shelf.titles("v0") == ["first"]
