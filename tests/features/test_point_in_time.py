"""A feature of an impression knows only what happened before it, and labels only what answered it."""

import msgspec
import numpy as np
import pytest

from core.events import Follow, Impression, Like, Unfollow, Unlike
from core.ports import Record
from core.video_table import Vocabulary
from features.batch import BatchDriver, follows_at
from features.columns import columns_of
from features.dataset import bits_to_signal, labelled
from features.definitions import NAMES
from features.join import attach
from features.layout import CLICK_BIT, DAY_MS, LIKE_BIT, LONG_VIEW_BIT, OP
from features.state import FeatureState
from tests.features.toy_state import batch, every_kind, watch
from tests.features.worldlet import START_MS, catalogue


def impressions_of(events):
    """Index into `events` of each row that the batch driver gives."""
    return [at for at, event in enumerate(events) if isinstance(event, Impression)]


def altered(events, at, seed):
    """The same past before impression `at`; everything at its time or later is dropped, moved or new."""
    rng, moment = np.random.default_rng(seed), events[at].time_ms
    past = [event for event in events if event.time_ms < moment]
    later = [event for event in events if event.time_ms >= moment and event is not events[at]]
    kept = [event for event in later if rng.random() < 0.5]
    moved = [
        msgspec.structs.replace(e, time_ms=moment + int(rng.integers(0, 2) * rng.integers(0, 10**9))) for e in kept
    ]
    new = [
        msgspec.structs.replace(e, event_id=f"n{e.event_id}", time_ms=moment, viewer_id=events[at].viewer_id)
        for e in every_kind(catalogue(), 30, seed)
    ]
    rng.shuffle(new)
    return past, new, moved


@pytest.mark.parametrize("seed", range(4))
def test_what_happens_at_or_after_an_impression_leaves_its_features_bit_for_bit(seed):
    events = every_kind(catalogue(), 300, seed)
    _, rows = batch(events)
    shown = impressions_of(events)
    rng = np.random.default_rng(seed)
    for row in rng.choice(len(shown), 6, replace=False).tolist():
        at = shown[row]
        past, new, moved = altered(events, at, seed)
        # the new events come first on the log, in the impression's own millisecond
        _, again = batch([*past, *new, events[at], *moved])
        found = [
            i for i in range(len(again))
            if again.time_ms[i] == events[at].time_ms and again.video[i] == rows.video[row]
        ]  # fmt: skip
        assert found and any(again.features[i].tobytes() == rows.features[row].tobytes() for i in found)


def test_the_past_does_change_features():
    events = every_kind(catalogue(), 300, 0)
    shown = impressions_of(events)
    _, rows = batch(events)
    _, fewer = batch(events[150:])
    late = sum(at >= 150 for at in shown)
    assert not np.array_equal(rows.features[-late:], fewer.features)


def test_the_order_of_the_log_does_not_matter_where_times_differ():
    events = [
        msgspec.structs.replace(e, time_ms=START_MS + 1_000 * n) for n, e in enumerate(every_kind(catalogue(), 200, 9))
    ]
    _, rows = batch(events)
    order = np.random.default_rng(0).permutation(len(events))
    _, shuffled = batch([events[n] for n in order])
    # surfaces and viewers get codes by first sight, which features must not show
    assert rows.features.tobytes() == shuffled.features.tobytes()


def test_features_from_a_later_moment_on_are_the_same_rows():
    driver, rows = batch(every_kind(catalogue(), 200, 4), profiles=[])
    half = int(rows.time_ms[len(rows) // 2])
    again = BatchDriver(FeatureState(catalogue()), driver.events, driver.viewers).run(features_from_ms=half)
    index = again.select(np.ones(len(again), bool))
    assert index[0] == again.featured == np.searchsorted(rows.time_ms, half) > 0
    assert again.matrix(index).tobytes() == rows.matrix(index).tobytes()


def test_histories_hold_the_watches_strictly_before():
    shown = Impression(event_id="i", viewer_id="u0", video_id="v5", time_ms=START_MS + 10)
    events = [watch(1, video="v1", at_ms=START_MS), shown, watch(2, video="v2", at_ms=START_MS + 10)]
    _, rows = batch(events)
    past = rows.histories(np.array([0]))
    assert past.length.tolist() == [1] and past.video[0, 0] == 1 and past.time_ms[0, 0] == START_MS


def like(number, at_ms, kind=Like, video="v0", viewer="u0"):
    return kind(event_id=f"l{number}", viewer_id=viewer, video_id=video, time_ms=at_ms)


def shown(number, at_ms, video="v0", viewer="u0"):
    return Impression(event_id=f"i{number}", viewer_id=viewer, video_id=video, time_ms=at_ms)


def labels_of(*events):
    """(play_ms, labels) of every impression in time order."""
    records = [Record(offset, event) for offset, event in enumerate(events, 1)]
    _, columns = labelled(columns_of(records, catalogue(), {}, Vocabulary()))
    return columns


def test_feedback_belongs_to_the_latest_impression_of_the_same_viewer_and_video():
    labels = labels_of(
        shown(1, START_MS), watch(1, at_ms=START_MS + 5), shown(2, START_MS + 10), watch(2, at_ms=START_MS + 15),
        like(1, START_MS + 16), like(2, START_MS + 17, viewer="u1"), like(3, START_MS + 18, video="v1"),
    )  # fmt: skip
    assert labels["like"].tolist() == [0.0, 1.0]


def test_feedback_in_the_impressions_own_millisecond_belongs_to_it():
    labels = labels_of(like(1, START_MS), watch(1, at_ms=START_MS), shown(1, START_MS))
    assert labels["like"].tolist() == [1.0] and labels["play_ms"].tolist() == [10_000]


@pytest.mark.parametrize(("after_ms", "label"), [(DAY_MS, 1.0), (DAY_MS + 1, 0.0)])
def test_feedback_counts_for_one_day(after_ms, label):
    labels = labels_of(shown(1, START_MS), watch(1, at_ms=START_MS + 1), like(1, START_MS + after_ms))
    assert labels["like"].tolist() == [label]


def test_the_first_watch_after_an_impression_is_its_label_and_no_watch_is_unknown():
    labels = labels_of(
        shown(1, START_MS), watch(1, at_ms=START_MS + 1, play_ms=2_000), watch(2, at_ms=START_MS + 2),
        shown(2, START_MS + 3, video="v1"), like(1, START_MS + 4, video="v1"),
    )  # fmt: skip
    assert labels["play_ms"][0] == 2_000 and labels["skip"][0] == 1 and labels["watch_ratio"][0] == np.float32(0.1)
    assert np.isnan([labels[name][1] for name in ("skip", "like", "watch_time")]).all()


def test_a_like_that_was_taken_back_was_still_a_like_and_an_unlike_alone_is_none():
    taken = labels_of(
        shown(1, START_MS), watch(1, at_ms=START_MS + 1), like(1, START_MS + 2), like(2, START_MS + 3, Unlike)
    )
    alone = labels_of(shown(1, START_MS), watch(1, at_ms=START_MS + 1), like(2, START_MS + 3, Unlike))
    assert (taken["like"].tolist(), alone["like"].tolist()) == ([1.0], [0.0])


def test_bits_of_watches_come_from_what_followed_them():
    events = [watch(1, play_ms=20_000), like(1, START_MS + 1), watch(2, video="v1", play_ms=10_000)]
    columns = columns_of([Record(n, e) for n, e in enumerate(events, 1)], catalogue(), {}, Vocabulary())
    bits, _ = attach(columns, OP["watch"], OP["read"])
    at = np.array([0, 2])
    assert bits_to_signal(columns, at, bits[at]).tolist() == [LONG_VIEW_BIT | CLICK_BIT | LIKE_BIT, CLICK_BIT]


@pytest.mark.parametrize("seed", range(3))
def test_follows_are_known_strictly_after_they_were_made(seed):
    rng, table, events = np.random.default_rng(seed), catalogue(), []
    for number in range(300):
        facts = {
            "event_id": f"e{number}",
            "viewer_id": f"u{rng.integers(3)}",
            "time_ms": START_MS + int(rng.integers(120)),
        }
        kind = rng.choice([Follow, Unfollow, Impression])
        target = {"video_id": f"v{rng.integers(40)}"} if kind is Impression else {"author_id": f"a{rng.integers(6)}"}
        events.append(kind(**facts, **target))
    columns = columns_of([Record(n, e) for n, e in enumerate(events, 1)], table, {}, Vocabulary())
    at = np.flatnonzero(columns.op == OP["impression"])
    want = []
    for asked in at.tolist():
        author = f"a{table.row(events[asked].video_id) % 6}"
        earlier = [
            (e.time_ms, n, type(e)) for n, e in enumerate(events)
            if not isinstance(e, Impression) and e.author_id == author and e.viewer_id == events[asked].viewer_id
            and e.time_ms < events[asked].time_ms
        ]  # fmt: skip
        want.append(bool(earlier) and max(earlier)[2] is Follow)
    assert follows_at(columns, at).tolist() == want and any(want) and not all(want)


def test_a_follow_shows_in_the_features_of_the_next_impression():
    follow = Follow(event_id="f", viewer_id="u0", author_id="a0", time_ms=START_MS)
    _, rows = batch([follow, shown(1, START_MS), shown(2, START_MS + 1), shown(3, START_MS + 2, video="v1")])
    assert rows.features[:, NAMES.index("follows_author")].tolist() == [0, 1, 0]
