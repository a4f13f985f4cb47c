"""What every SlateStore promises."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from core.ports import SlateStore
from core.slate import Slate, SlateDetail
from tests.contracts.events import DAY_MS


def slate(number: int, viewer: str = "ann") -> Slate:
    """A slate of two videos."""
    return Slate(
        slate_id=f"slate-{number}",
        viewer_id=viewer,
        session_id=f"session-{number // 2}",
        surface="for_you",
        time_ms=DAY_MS + number,
        page=0,
        seed=number,
        video_ids=("a", "b"),
        sources=("fresh", "popular"),
        propensities=(0.5, 0.25),
    )


class SlateStoreContract:
    """Inherit it and give `open_slates`; opening the same folder again is a restart."""

    def open_slates(self, folder: Path) -> SlateStore:
        """The store kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> SlateStore:
        return self.open_slates(tmp_path)

    def test_an_unknown_slate_is_none(self, store: SlateStore) -> None:
        assert asyncio.run(store.get("none")) is None
        assert asyncio.run(store.get_detail("none")) is None
        assert asyncio.run(store.latest("nobody", 5)) == []

    def test_the_latest_slates_of_a_viewer_come_newest_first(self, store: SlateStore) -> None:
        for number, viewer in enumerate(["ann", "bo", "ann", "ann"]):
            asyncio.run(store.append(slate(number, viewer)))
        assert asyncio.run(store.latest("ann", 2)) == [slate(3), slate(2)]
        assert asyncio.run(store.latest("bo", 5)) == [slate(1, "bo")]

    def test_a_slate_of_no_session_is_there_and_not_among_the_latest(self, store: SlateStore) -> None:
        listed = msgspec.structs.replace(slate(7), session_id="", surface="following")
        asyncio.run(store.append(slate(2)))
        asyncio.run(store.append(listed))
        assert asyncio.run(store.get("slate-7")) == listed
        assert asyncio.run(store.latest("ann", 5)) == [slate(2)]

    def test_a_slate_that_comes_again_keeps_its_first_record(self, store: SlateStore) -> None:
        asyncio.run(store.append(slate(1)))
        asyncio.run(store.append(slate(1, "bo")))
        assert asyncio.run(store.get("slate-1")) == slate(1)

    def test_details_may_come_later(self, store: SlateStore) -> None:
        asyncio.run(store.append(slate(1)))
        assert asyncio.run(store.get_detail("slate-1")) is None
        detail = SlateDetail(slate_id="slate-1", served=b"columns", full=b"query")
        asyncio.run(store.detail(detail))
        assert asyncio.run(store.get_detail("slate-1")) == detail

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        asyncio.run(self.open_slates(tmp_path).append(slate(1)))
        assert asyncio.run(self.open_slates(tmp_path).get("slate-1")) == slate(1)
