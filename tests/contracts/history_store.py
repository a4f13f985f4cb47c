"""What every HistoryStore promises."""

import asyncio
import random
from itertools import permutations
from pathlib import Path
from uuid import uuid4

import pytest

from core.catalogue import Reactions
from core.events import Event, Follow, Impression, Like, NotInterested, Report, Save, Unlike, Unsave
from core.ports import HistoryStore, Record
from tests.contracts.events import DAY_MS, impression, like, published, records, watch

ODD_IDS = ("a'b\"c", "ключ 🗝", "%s ? {} $1 :x", "line\nbreak\ttab", "-- ;", "NULL", "x" * 128, "ä" * 128)


def fresh(name: str) -> str:
    """A viewer of whom no store has heard, since stores outlive a test."""
    return f"{name}-{uuid4().hex[:12]}"


class HistoryStoreContract:
    """Inherit it and give `open_history`; opening the same folder again is a restart."""

    def open_history(self, folder: Path) -> HistoryStore:
        """The store kept in the folder."""
        raise NotImplementedError

    @pytest.fixture
    def history(self, tmp_path: Path) -> HistoryStore:
        return self.open_history(tmp_path)

    @pytest.fixture
    def ann(self) -> str:
        return fresh("ann")

    def test_an_unknown_viewer_has_seen_nothing(self, history: HistoryStore) -> None:
        for nobody in (fresh("nobody"), ""):
            assert asyncio.run(history.seen(nobody)) == []
            assert asyncio.run(history.reactions(nobody)) == Reactions()

    def test_seen_lists_impressions_and_watches_once_oldest_first(self, history: HistoryStore, ann: str) -> None:
        events = [impression(3, ann, "c"), watch(1, ann, "a"), impression(2, ann, "b"), watch(9, ann, "a")]
        asyncio.run(history.record(records(*events)))
        assert asyncio.run(history.seen(ann)) == ["a", "b", "c"]

    def test_videos_seen_in_one_millisecond_are_in_the_order_of_their_ids(
        self, history: HistoryStore, ann: str
    ) -> None:
        videos = ["b", "ä", "a", "🗝", "B", "aa", "ﬀ"]  # as Python orders text: by code point
        asyncio.run(history.record(records(*(impression(1, ann, video) for video in videos))))
        assert asyncio.run(history.seen(ann)) == sorted(videos)

    def test_what_was_last_seen_in_an_interval_is_told_oldest_first(self, history: HistoryStore, ann: str) -> None:
        events = [impression(3, ann, "c"), watch(1, ann, "a"), impression(2, ann, "b"), watch(4, ann, "a")]
        asyncio.run(history.record(records(*events)))
        at = {number: events[at].time_ms for at, number in enumerate((3, 1, 2, 4))}

        def between(first: int, last: int) -> list[str]:
            return asyncio.run(history.seen_between(ann, at[first], at[last]))

        assert asyncio.run(history.seen_between(ann, at[1], at[4] + 1)) == ["b", "c", "a"]
        assert between(2, 4) == ["b", "c"] and between(2, 3) == ["b"] and between(3, 3) == []
        assert set(between(1, 3)) - {"a"} == {"b"}  # "a" was seen again: a store may still tell the first time
        assert asyncio.run(history.seen_between(fresh("nobody"), 0, at[4])) == []

    def test_viewers_do_not_mix(self, history: HistoryStore, ann: str) -> None:
        bo = fresh("bo")
        asyncio.run(history.record(records(impression(1, ann, "a"), impression(2, bo, "b"))))
        assert asyncio.run(history.seen(ann)) == ["a"]
        assert asyncio.run(history.seen(bo)) == ["b"]

    def test_a_record_shows_in_a_list_that_was_read_before(self, history: HistoryStore, ann: str) -> None:
        asyncio.run(history.record(records(impression(5, ann, "e"))))
        assert asyncio.run(history.seen(ann)) == ["e"]
        asyncio.run(history.record(records(impression(7, ann, "g"), start=2)))
        assert asyncio.run(history.seen(ann)) == ["e", "g"]
        asyncio.run(history.record(records(impression(6, ann, "f"), start=3)))
        assert asyncio.run(history.seen(ann)) == ["e", "f", "g"]
        asyncio.run(history.record(records(impression(1, ann, "g"), start=4)))
        assert asyncio.run(history.seen(ann)) == ["g", "e", "f"]

    def test_a_caller_may_change_the_list_it_was_given(self, history: HistoryStore, ann: str) -> None:
        asyncio.run(history.record(records(impression(1, ann, "a"))))
        asyncio.run(history.seen(ann)).append("mine")
        assert asyncio.run(history.seen(ann)) == ["a"]

    def test_the_last_word_on_a_like_counts_in_any_order_of_arrival(self, history: HistoryStore) -> None:
        for order in permutations(range(3)):
            ann = fresh("ann")
            unlike = Unlike(event_id="u", viewer_id=ann, video_id="v1", time_ms=DAY_MS + 2_000)
            events = records(like(1, ann), unlike, like(3, ann, "v2"))
            for number in order:
                asyncio.run(history.record([events[number], events[number]]))
            assert asyncio.run(history.reactions(ann)).liked == {"v2"}

    def test_of_two_words_in_one_millisecond_the_later_on_the_log_counts(self, history: HistoryStore) -> None:
        for offset in (1, 255, 999, 65_535, 2**21 - 1, 2**40 - 1):  # where fewer bits than all would turn over
            for order in (1, -1):
                ann = fresh("ann")
                unlike = Unlike(event_id="u", viewer_id=ann, video_id="v1", time_ms=DAY_MS + 1_000)
                words = records(like(1, ann), unlike, like(1, ann), start=offset)
                asyncio.run(history.record(words[:2][::order]))
                assert asyncio.run(history.reactions(ann)).liked == set()
                asyncio.run(history.record(words[::order]))
                assert asyncio.run(history.reactions(ann)).liked == {"v1"}

    def test_saves_stand_until_they_are_taken_back(self, history: HistoryStore, ann: str) -> None:
        save = Save(event_id="s", viewer_id=ann, video_id="v1", time_ms=DAY_MS)
        unsave = Unsave(event_id="u", viewer_id=ann, video_id="v1", time_ms=DAY_MS)
        asyncio.run(history.record(records(save)))
        assert asyncio.run(history.reactions(ann)) == Reactions(saved=frozenset({"v1"}))
        asyncio.run(history.record(records(unsave, start=2)))
        assert asyncio.run(history.reactions(ann)) == Reactions()

    def test_what_was_not_interesting_or_reported_stays_disliked(self, history: HistoryStore, ann: str) -> None:
        said = NotInterested(event_id="n", viewer_id=ann, video_id="v1", time_ms=DAY_MS)
        reported = Report(event_id="r", viewer_id=ann, video_id="v2", time_ms=DAY_MS)
        asyncio.run(history.record(records(said, reported, like(1, ann, "v1"))))
        known = asyncio.run(history.reactions(ann))
        assert known == Reactions(liked=frozenset({"v1"}), disliked=frozenset({"v1", "v2"}))

    def test_everything_is_there_after_a_restart(self, tmp_path: Path, ann: str) -> None:
        asyncio.run(self.open_history(tmp_path).record(records(impression(1, ann, "a"), like(2, ann, "a"))))
        history = self.open_history(tmp_path)
        assert asyncio.run(history.seen(ann)) == ["a"]
        assert asyncio.run(history.reactions(ann)).liked == {"a"}

    def test_any_order_and_any_number_of_times_give_what_a_recount_gives(self, history: HistoryStore) -> None:
        chance = random.Random(5)
        viewers = [fresh(f"u{number}") for number in range(3)]
        log = [Record(100 + at, _any_event(chance, viewers, at)) for at in range(300)]
        arrivals = log + chance.choices(log, k=300)
        chance.shuffle(arrivals)
        while arrivals:
            size = chance.randint(1, 120)
            asyncio.run(history.record(arrivals[:size]))
            del arrivals[:size]
        for viewer in viewers:
            assert asyncio.run(history.seen(viewer)) == _seen(log, viewer)
            assert asyncio.run(history.reactions(viewer)) == _standing(log, viewer)

    def test_ids_may_hold_any_text(self, history: HistoryStore) -> None:
        tag = fresh("")[-12:]
        for odd in ODD_IDS:
            viewer = tag + odd[12:] if len(odd) == 128 else odd + tag
            events = [impression(at, viewer, video) for at, video in enumerate(ODD_IDS)]
            asyncio.run(history.record(records(*events, like(9, viewer, odd))))
            assert asyncio.run(history.seen(viewer)) == list(ODD_IDS)
            assert asyncio.run(history.reactions(viewer)).liked == {odd}

    def test_what_is_no_viewers_is_passed_over(self, history: HistoryStore, ann: str) -> None:
        follow = Follow(event_id="f", viewer_id=ann, author_id="bo", time_ms=DAY_MS)
        others = [impression(1, "", "a"), like(2, "", "a"), published("p", ann), follow]
        asyncio.run(history.record(records(*others, impression(3, ann, "b"))))
        asyncio.run(history.record([]))
        assert asyncio.run(history.seen(ann)) == ["b"]
        assert asyncio.run(history.seen("")) == []
        assert asyncio.run(history.reactions("")) == Reactions()

    def test_a_history_of_any_length_is_read_whole(self, history: HistoryStore, ann: str) -> None:
        videos = [f"v{number * 7_919 % 12_007}" for number in range(12_007)]
        events = [impression(number, ann, video) for number, video in enumerate(videos)]
        asyncio.run(history.record(records(*events[::-1], *(like(1, ann, video) for video in videos[:6_000]))))
        assert asyncio.run(history.seen(ann)) == videos
        assert asyncio.run(history.reactions(ann)).liked == set(videos[:6_000])

    def test_many_may_read_and_write_at_once(self, history: HistoryStore) -> None:
        viewers = [fresh(f"u{number}") for number in range(20)]

        async def visit(viewer: str) -> list[str]:
            for number in range(5):
                await history.record(records(impression(number, viewer, f"{viewer}-{number}")))
            return await history.seen(viewer)

        async def all_at_once() -> list[list[str]]:
            return await asyncio.gather(*map(visit, viewers))

        expected = [[f"{viewer}-{number}" for number in range(5)] for viewer in viewers]
        assert asyncio.run(all_at_once()) == expected


def _any_event(chance: random.Random, viewers: list[str], number: int) -> Event:
    """One of few videos in one of few milliseconds, so that keys meet."""
    facts = {
        "event_id": f"e{number}",
        "viewer_id": chance.choice(viewers),
        "video_id": f"v{chance.randrange(6)}",
        "time_ms": DAY_MS + chance.randrange(8),
    }
    kind = chance.choice((Impression, Like, Unlike, Save, Unsave, NotInterested, Report))
    return kind(**facts)


def _seen(log: list[Record], viewer: str) -> list[str]:
    sights = [r.event for r in log if isinstance(r.event, Impression) and r.event.viewer_id == viewer]
    first = {video: min(e.time_ms for e in sights if e.video_id == video) for video in {e.video_id for e in sights}}
    return sorted(first, key=lambda video: (first[video], video))


def _standing(log: list[Record], viewer: str) -> Reactions:
    words: dict[tuple[str, str], bool] = {}
    for record in sorted(log, key=lambda r: (r.event.time_ms, r.offset)):
        event = record.event
        if event.viewer_id != viewer:
            continue
        if isinstance(event, Like | Unlike):
            words["like", event.video_id] = isinstance(event, Like)
        elif isinstance(event, Save | Unsave):
            words["save", event.video_id] = isinstance(event, Save)
        elif isinstance(event, NotInterested | Report):
            words["dislike", event.video_id] = True
    kinds = ("like", "save", "dislike")
    standing = [frozenset(v for (kind, v), on in words.items() if kind == name and on) for name in kinds]
    return Reactions(liked=standing[0], saved=standing[1], disliked=standing[2])
