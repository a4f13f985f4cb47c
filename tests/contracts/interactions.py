"""What every Interactions store promises."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import InputError
from core.events import Comment, Event, Follow, Impression, Like, Share, kind_of
from core.history import DAY_MS, HOUR_MS, ActivityHour, Interaction, Interactions
from core.ports import Record
from tests.contracts.events import impression, like, published, records, watch
from tests.contracts.history_store import ODD_IDS, fresh

MIDNIGHT = 1_772_323_200_000  # the first moment of March 2026, UTC


def moment(text: str) -> int:
    """Unix milliseconds of a time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class InteractionsContract:
    """Inherit it and give `open_interactions`; opening the same folder again is a restart."""

    def open_interactions(self, folder: Path) -> Interactions:
        """The store kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Interactions:
        return self.open_interactions(tmp_path)

    def test_an_unknown_viewer_did_nothing(self, store: Interactions) -> None:
        for nobody in (fresh("nobody"), ""):
            assert asyncio.run(store.interactions(nobody)) == []
            assert asyncio.run(store.activity(nobody, MIDNIGHT, MIDNIGHT + DAY_MS)) == []

    def test_each_event_is_kept_once_oldest_first(self, store: Interactions) -> None:
        ann, bo = fresh("ann"), fresh("bo")
        follow = Follow(event_id="f", viewer_id=ann, author_id="bo", time_ms=MIDNIGHT)
        events = [like(2, ann, "a"), impression(1, ann, "a"), watch(3, bo, "b"), follow]
        for _ in range(3):
            asyncio.run(store.record(records(*events)))
        assert asyncio.run(store.interactions(ann)) == [_kept(impression(1, ann, "a")), _kept(like(2, ann, "a")),
                                                        _kept(follow)]  # fmt: skip
        assert asyncio.run(store.interactions(bo)) == [_kept(watch(3, bo, "b"))]

    def test_two_events_of_one_kind_in_one_millisecond_are_two(self, store: Interactions) -> None:
        ann = fresh("ann")
        comments = [
            Comment(event_id=f"c{number}", viewer_id=ann, video_id=f"v{number // 2}", time_ms=MIDNIGHT)
            for number in range(4)
        ]
        asyncio.run(store.record(records(*comments)))
        assert asyncio.run(store.interactions(ann)) == [_kept(comment) for comment in comments]
        assert asyncio.run(store.activity(ann, MIDNIGHT, MIDNIGHT + 1)) == [ActivityHour(MIDNIGHT, "comment", 4)]

    def test_months_and_years_join_without_a_seam(self, store: Interactions) -> None:
        ann = fresh("ann")
        edges = [moment(text) for text in ("1970-02-01", "2024-03-01", "2026-01-01", "2026-03-01", "2026-11-01")]
        times = sorted(edge + step for edge in edges for step in (-1, 0, 1))
        events = [Share(event_id=f"s{time}", viewer_id=ann, video_id="v", time_ms=time) for time in times]
        asyncio.run(store.record(records(*events[::-1])))
        assert asyncio.run(store.interactions(ann)) == [_kept(event) for event in events]
        for edge in edges:  # one before midnight; two from midnight on
            found = asyncio.run(store.activity(ann, edge - HOUR_MS, edge + HOUR_MS))
            assert found == [ActivityHour(edge - HOUR_MS, "share", 1), ActivityHour(edge, "share", 2)]

    def test_ids_may_hold_any_text(self, store: Interactions) -> None:
        ann = fresh("ann")
        events = [
            Like(event_id=odd, viewer_id=ann, video_id=odd, slate_id=odd, time_ms=MIDNIGHT + number)
            for number, odd in enumerate(ODD_IDS)
        ]
        asyncio.run(store.record(records(*events)))
        assert asyncio.run(store.interactions(ann)) == [_kept(event) for event in events]

    def test_what_is_no_viewers_is_passed_over(self, store: Interactions) -> None:
        ann = fresh("ann")
        asyncio.run(store.record(records(impression(1, "", "a"), published("p", ann), impression(3, ann, "b"))))
        asyncio.run(store.record([]))
        assert asyncio.run(store.interactions(ann)) == [_kept(impression(3, ann, "b"))]
        assert asyncio.run(store.interactions("")) == []

    def test_everything_is_there_after_a_restart(self, tmp_path: Path) -> None:
        ann = fresh("ann")
        asyncio.run(self.open_interactions(tmp_path).record(records(impression(1, ann))))
        assert asyncio.run(self.open_interactions(tmp_path).interactions(ann)) == [_kept(impression(1, ann))]

    def test_a_history_of_any_length_is_read_whole(self, store: Interactions) -> None:
        ann = fresh("ann")
        events = [impression(number, ann) for number in range(10_500)]
        asyncio.run(store.record(records(*events)))
        assert asyncio.run(store.interactions(ann)) == [_kept(event) for event in events]

    def test_activity_equals_a_recount_after_replays_and_compactions(self, store: Interactions) -> None:
        chance = random.Random(11)
        viewers = [fresh(f"u{number}") for number in range(3)]
        closed = MIDNIGHT + 30 * HOUR_MS + 5 * 60_000  # 06:05 of the second day: its first six hours are closed
        early = [_any_event(chance, viewers, f"a{number}", 0, 54) for number in range(200)]
        late = [_any_event(chance, viewers, f"b{number}", 30, 72) for number in range(100)]
        log = records(*early)
        asyncio.run(store.record(log))
        asyncio.run(store.compact(closed))
        self._equals_a_recount(store, viewers, log)
        log += records(*late, start=1_000)
        asyncio.run(store.record(chance.sample(log, len(log)) + chance.choices(log, k=100)))
        self._equals_a_recount(store, viewers, log)
        for until in (closed, closed + 20 * HOUR_MS, MIDNIGHT + 3 * DAY_MS, MIDNIGHT):
            asyncio.run(store.compact(until))
            assert asyncio.run(store.compact(until)) == 0
            asyncio.run(store.record(chance.choices(log, k=100)))
            self._equals_a_recount(store, viewers, log)

    def _equals_a_recount(self, store: Interactions, viewers: list[str], log: list[Record]) -> None:
        for viewer in viewers:
            for first, last in ((-24, 96), (0, 24), (5, 31), (30, 31), (7, 7)):
                from_ms, until_ms = MIDNIGHT + first * HOUR_MS, MIDNIGHT + last * HOUR_MS
                found = asyncio.run(store.activity(viewer, from_ms, until_ms))
                assert found == _recount(log, viewer, from_ms, until_ms)

    def test_an_hour_belongs_to_the_interval_that_it_begins_in(self, store: Interactions) -> None:
        ann = fresh("ann")
        asyncio.run(store.record(records(Like(event_id="l", viewer_id=ann, video_id="v", time_ms=MIDNIGHT + 1_000))))
        hour = [ActivityHour(MIDNIGHT, "like", 1)]
        assert asyncio.run(store.activity(ann, MIDNIGHT, MIDNIGHT + 1)) == hour
        assert asyncio.run(store.activity(ann, MIDNIGHT - 500, MIDNIGHT + 500)) == hour
        assert asyncio.run(store.activity(ann, MIDNIGHT + 1, MIDNIGHT + DAY_MS)) == []
        assert asyncio.run(store.activity(ann, MIDNIGHT - DAY_MS, MIDNIGHT)) == []

    def test_more_than_four_hundred_days_are_too_many(self, store: Interactions) -> None:
        ann = fresh("ann")
        assert asyncio.run(store.activity(ann, MIDNIGHT, MIDNIGHT + 400 * DAY_MS)) == []
        with pytest.raises(InputError, match="401 days; ask for at most 400"):
            asyncio.run(store.activity(ann, MIDNIGHT, MIDNIGHT + 400 * DAY_MS + 1))


def _kept(event: Event) -> Interaction:
    return Interaction(event.time_ms, kind_of(event), getattr(event, "video_id", ""), event.event_id)


def _any_event(chance: random.Random, viewers: list[str], event_id: str, first_hour: int, end_hour: int) -> Event:
    time_ms = MIDNIGHT + chance.randrange(first_hour * HOUR_MS, end_hour * HOUR_MS)
    kind = chance.choice((Impression, Like, Share))
    return kind(
        event_id=event_id, viewer_id=chance.choice(viewers), video_id=f"v{chance.randrange(9)}", time_ms=time_ms
    )


def _recount(log: list[Record], viewer: str, from_ms: int, until_ms: int) -> list[ActivityHour]:
    counts = Counter(
        (record.event.time_ms // HOUR_MS * HOUR_MS, kind_of(record.event))
        for record in log
        if record.event.viewer_id == viewer
    )
    return sorted(ActivityHour(*key, count) for key, count in counts.items() if from_ms <= key[0] < until_ms)
