"""What every HistoryStore promises."""

import asyncio
from itertools import permutations
from pathlib import Path

import pytest

from core.catalogue import Reactions
from core.events import Save, Unlike, Unsave
from core.ports import HistoryStore
from tests.contracts.events import DAY_MS, impression, like, records, watch


class HistoryStoreContract:
    """Inherit it and give `open_history`; opening the same folder again is a restart."""

    def open_history(self, folder: Path) -> HistoryStore:
        """The store kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def history(self, tmp_path: Path) -> HistoryStore:
        return self.open_history(tmp_path)

    def test_an_unknown_viewer_has_seen_nothing(self, history: HistoryStore) -> None:
        assert asyncio.run(history.seen("nobody")) == []
        assert asyncio.run(history.reactions("nobody")) == Reactions()

    def test_seen_lists_impressions_and_watches_once_oldest_first(self, history: HistoryStore) -> None:
        events = [impression(3, video="c"), watch(1, video="a"), impression(2, video="b"), watch(9, video="a")]
        asyncio.run(history.record(records(*events)))
        assert asyncio.run(history.seen("ann")) == ["a", "b", "c"]

    def test_viewers_do_not_mix(self, history: HistoryStore) -> None:
        asyncio.run(history.record(records(impression(1, "ann", "a"), impression(2, "bo", "b"))))
        assert asyncio.run(history.seen("ann")) == ["a"]
        assert asyncio.run(history.seen("bo")) == ["b"]

    def test_a_record_shows_in_a_list_that_was_read_before(self, history: HistoryStore) -> None:
        asyncio.run(history.record(records(impression(5, video="e"))))
        assert asyncio.run(history.seen("ann")) == ["e"]
        asyncio.run(history.record(records(impression(7, video="g"), start=2)))
        assert asyncio.run(history.seen("ann")) == ["e", "g"]
        asyncio.run(history.record(records(impression(6, video="f"), start=3)))
        assert asyncio.run(history.seen("ann")) == ["e", "f", "g"]
        asyncio.run(history.record(records(impression(1, video="g"), start=4)))
        assert asyncio.run(history.seen("ann")) == ["g", "e", "f"]

    def test_a_caller_may_change_the_list_it_was_given(self, history: HistoryStore) -> None:
        asyncio.run(history.record(records(impression(1, video="a"))))
        asyncio.run(history.seen("ann")).append("mine")
        assert asyncio.run(history.seen("ann")) == ["a"]

    def test_the_last_word_on_a_like_counts_in_any_order_of_arrival(self, tmp_path: Path) -> None:
        unlike = Unlike(event_id="u", viewer_id="ann", video_id="v1", time_ms=DAY_MS + 2_000)
        events = records(like(1), unlike, like(3, video="v2"))
        for number, order in enumerate(permutations(events)):
            history = self.open_history(tmp_path / str(number))
            for record in order:
                asyncio.run(history.record([record, record]))
            assert asyncio.run(history.reactions("ann")).liked == {"v2"}

    def test_saves_stand_until_they_are_taken_back(self, history: HistoryStore) -> None:
        save = Save(event_id="s", viewer_id="ann", video_id="v1", time_ms=DAY_MS)
        unsave = Unsave(event_id="u", viewer_id="ann", video_id="v1", time_ms=DAY_MS)
        asyncio.run(history.record(records(save)))
        assert asyncio.run(history.reactions("ann")) == Reactions(saved=frozenset({"v1"}))
        asyncio.run(history.record(records(unsave, start=2)))
        assert asyncio.run(history.reactions("ann")) == Reactions()

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        asyncio.run(self.open_history(tmp_path).record(records(impression(1, video="a"), like(2, video="a"))))
        history = self.open_history(tmp_path)
        assert asyncio.run(history.seen("ann")) == ["a"]
        assert asyncio.run(history.reactions("ann")).liked == {"a"}
