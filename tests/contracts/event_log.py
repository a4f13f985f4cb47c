"""What every EventLog promises."""

import asyncio
from pathlib import Path

import pytest

from core.events import Event
from core.ports import Appended, EventLog
from tests.contracts.events import impression, like, published, watch


class EventLogContract:
    """Inherit it and give `open_log`; opening the same folder again is a restart."""

    def open_log(self, folder: Path) -> EventLog:
        """The log kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def log(self, tmp_path: Path) -> EventLog:
        return self.open_log(tmp_path)

    def test_a_new_log_is_empty(self, log: EventLog) -> None:
        assert asyncio.run(log.end()) == 0
        assert asyncio.run(log.read(0, 10)) == []
        assert asyncio.run(log.append([])) == []

    def test_events_get_offsets_from_one_in_their_order(self, log: EventLog) -> None:
        events: list[Event] = [impression(1), watch(2), like(3), published("v1", content_embedding=(0.5, -1.0))]
        assert asyncio.run(log.append(events)) == [Appended(offset, False) for offset in (1, 2, 3, 4)]
        assert [(r.offset, r.event) for r in asyncio.run(log.read(0, 10))] == list(enumerate(events, 1))

    def test_an_id_that_is_known_is_not_written_again(self, log: EventLog) -> None:
        asyncio.run(log.append([impression(1), impression(2)]))
        again = asyncio.run(log.append([impression(3), impression(1)]))
        assert again == [Appended(3, False), Appended(1, True)]
        assert asyncio.run(log.end()) == 3

    def test_a_duplicate_inside_one_batch_is_written_once(self, log: EventLog) -> None:
        assert asyncio.run(log.append([like(1), like(1), like(2)])) == [
            Appended(1, False),
            Appended(1, True),
            Appended(2, False),
        ]

    def test_the_first_content_of_an_id_stays(self, log: EventLog) -> None:
        asyncio.run(log.append([impression(1, video="first")]))
        asyncio.run(log.append([impression(1, video="second")]))
        assert [record.event.video_id for record in asyncio.run(log.read(0, 10))] == ["first"]  # type: ignore[union-attr]

    def test_read_gives_at_most_the_limit_after_the_offset(self, log: EventLog) -> None:
        asyncio.run(log.append([impression(number) for number in range(10)]))
        assert [record.offset for record in asyncio.run(log.read(3, 4))] == [4, 5, 6, 7]
        assert [record.offset for record in asyncio.run(log.read(8, 4))] == [9, 10]
        assert asyncio.run(log.read(10, 4)) == []

    def test_each_consumer_group_keeps_its_own_offset(self, log: EventLog) -> None:
        assert asyncio.run(log.committed("features")) == 0
        asyncio.run(log.commit("features", 7))
        asyncio.run(log.commit("archive", 3))
        assert asyncio.run(log.committed("features")) == 7
        assert asyncio.run(log.committed("archive")) == 3

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        first = self.open_log(tmp_path)
        asyncio.run(first.append([impression(1), like(2)]))
        asyncio.run(first.commit("features", 1))
        second = self.open_log(tmp_path)
        assert [record.event for record in asyncio.run(second.read(0, 10))] == [impression(1), like(2)]
        assert asyncio.run(second.committed("features")) == 1
        assert asyncio.run(second.append([like(2), like(3)])) == [Appended(2, True), Appended(3, False)]

    def test_a_batch_larger_than_any_statement_limit_is_kept_whole(self, log: EventLog) -> None:
        events = [impression(number) for number in range(5_000)]
        assert [a.offset for a in asyncio.run(log.append(events))] == list(range(1, 5_001))
        assert all(a.duplicate for a in asyncio.run(log.append(events)))
