"""Counters, totals, slots, sessions and histories against a recount in floats."""

from collections import defaultdict

import numpy as np
import pytest

from core.events import Like, NotInterested, Unlike
from features import layout as L
from features.raw import PAIR_QUANTUM, VIDEO_QUANTA, VIEWER_QUANTA
from tests.features.toy_state import ToyState, every_kind, watch
from tests.features.worldlet import START_MS, catalogue

KIND_COUNTS = {
    "Impression": ("impressions", 1), "Like": ("likes", 1), "Unlike": ("likes", -1), "Comment": ("comments", 1),
    "Share": ("shares", 1), "Save": ("shares", 1), "Unsave": ("shares", -1), "Follow": ("follows", 1),
    "Unfollow": ("follows", -1), "NotInterested": ("negatives", 1), "Report": ("negatives", 1),
    "HideAuthor": ("negatives", 1), "Block": ("negatives", 1),
}  # fmt: skip


def gains_of(event):
    """What an event adds, by action."""
    if type(event).__name__ != "Watch":
        action, gain = KIND_COUNTS[type(event).__name__]
        return {action: gain}
    ratio = min(event.play_ms / event.length_ms, 5)
    skip = event.play_ms < 3_000 and ratio < 0.95
    return {
        "watches": 1,
        "long_views": int(ratio >= 0.95 or event.play_ms >= 18_000),
        "completions": int(ratio >= 0.95),
        "skips": int(skip),
        "clicks": int(ratio >= 0.95 or event.play_ms >= 3_000),
        "watch_s": min(event.play_ms, 600_000) / 1000,
        "ratio": min(ratio, 1),
    }


class Recount:
    """Counts by (key, action), decayed in floats on the grid of `quantum` ms, never below 0."""

    def __init__(self, quantum):
        self.quantum, self.value, self.step = quantum, defaultdict(float), defaultdict(int)

    def add(self, key, time_ms, gains):
        for action, gain in gains.items():
            self.value[key, action] = max(self.read(key, action, time_ms) + gain, 0.0)
            self.step[key, action] = time_ms // self.quantum

    def read(self, key, action, now_ms):
        return self.value[key, action] * 2 ** (-(now_ms // self.quantum - self.step[key, action]) / L.STEPS)


def keys_of(event, table):
    """(entity, key) of everything that an event touches."""
    row = table.row(getattr(event, "video_id", ""))
    author = int(table.author[row]) if row >= 0 else 0
    if hasattr(event, "author_id"):
        author = table.authors.code(event.author_id)
    keys = [("viewer", event.viewer_id), ("author", author)]
    return keys + ([("video", row), ("trend", int(table.topic[row]))] if row >= 0 else [])


@pytest.mark.parametrize("seed", [1, 2])
def test_every_action_and_half_life_agrees_with_a_recount(seed):
    # Between two events a counter is rounded to 1/UNIT twice at most, and a gain once: under 2 units an event.
    table = catalogue()
    events = every_kind(table, 900, seed)
    toy = ToyState(table).apply(*events)
    now, tolerance = events[-1].time_ms + 12_345_678, 2 * len(events) / L.UNIT
    for entity, quanta in (
        ("video", VIDEO_QUANTA),
        ("author", VIDEO_QUANTA),
        ("trend", VIDEO_QUANTA),
        ("viewer", VIEWER_QUANTA),
    ):
        for half, quantum in enumerate(quanta.tolist()):
            oracle = Recount(quantum)
            for event in events:
                for kind, key in keys_of(event, table):
                    if kind == entity:
                        oracle.add(key, event.time_ms, gains_of(event))
            for row in range(len(table)):
                for viewer in toy.viewers if entity == "viewer" and row == 0 else ("u0",):
                    got = getattr(toy.read(viewer, [row], now), entity)[0, half] / L.UNIT
                    key = {
                        "video": row, "author": int(table.author[row]), "trend": int(table.topic[row]), "viewer": viewer
                    }[entity]  # fmt: skip
                    want = [oracle.read(key, action, now) for action in L.ACTIONS]
                    assert got == pytest.approx(want, abs=tolerance, rel=1e-5), (entity, key, half)


def test_totals_are_never_decayed_and_never_negative():
    table = catalogue()
    events = every_kind(table, 900, 5)
    toy = ToyState(table).apply(*events)
    place = {
        "Watch": (0, 1),
        "Like": (1, 1),
        "Unlike": (1, -1),
        "Comment": (2, 1),
        "Share": (3, 1),
        "Save": (4, 1),
        "Unsave": (4, -1),
    }
    want = np.zeros((len(table), 5), int)
    for event in events:
        if type(event).__name__ in place:
            column, gain = place[type(event).__name__]
            row = table.row(event.video_id)
            want[row, column] = max(want[row, column] + gain, 0)
    assert np.array_equal(toy.state.videos.counts.totals[: len(table)], want)


def test_a_late_event_counts_as_much_as_if_it_had_come_in_time():
    day = L.DAY_MS
    first, second = watch(1, at_ms=START_MS), watch(2, at_ms=START_MS + day)
    in_time = ToyState().apply(first, second).read("u0", [0], START_MS + 2 * day)
    late = ToyState().apply(second, first).read("u0", [0], START_MS + 2 * day)
    for name in ("video", "author", "trend", "viewer", "pair"):
        assert np.abs(getattr(in_time, name) - getattr(late, name)).max() <= 2, name


def test_a_late_event_does_not_turn_the_clock_back():
    toy = ToyState().apply(watch(1, at_ms=START_MS + L.DAY_MS), watch(2, at_ms=START_MS))
    assert (toy.state.videos.counts.steps[0] == (START_MS + L.DAY_MS) // VIDEO_QUANTA).all()


def test_a_like_that_is_taken_back_leaves_nothing():
    like = Like(event_id="l", viewer_id="u0", video_id="v0", time_ms=START_MS)
    unlike = Unlike(event_id="x", viewer_id="u0", video_id="v0", time_ms=START_MS)
    blocks = ToyState().apply(watch(1), like, unlike).read("u0", [0], START_MS)
    assert (blocks.video[0, :, L.LIKES] == 0).all() and blocks.pair[0, 0, 4] == 0


def test_a_full_family_gives_up_its_stalest_slot():
    # 33 authors a day apart for 32 slots: the first one goes, the others keep one decayed watch each.
    table = catalogue(videos=33, authors=33)
    toy = ToyState(table)
    toy.apply(*(watch(n, video=f"v{n}", at_ms=START_MS + n * L.DAY_MS) for n in range(33)))
    now = START_MS + 33 * L.DAY_MS
    kept = toy.read("u0", range(33), now).pair[:, 0, 0] / L.PAIR_UNIT
    ages = [now // PAIR_QUANTUM - (START_MS + n * L.DAY_MS) // PAIR_QUANTUM for n in range(1, 33)]
    assert kept[0] == 0.0
    assert kept[1:] == pytest.approx([2 ** (-age / L.STEPS) for age in ages], abs=1.5 / L.PAIR_UNIT)


def test_a_slot_that_was_used_again_is_not_the_stalest():
    table = catalogue(videos=33, authors=33)
    toy = ToyState(table)
    toy.apply(*(watch(n, video=f"v{n}", at_ms=START_MS + n * L.DAY_MS) for n in range(32)))
    toy.apply(watch(50, video="v0", at_ms=START_MS + 40 * L.DAY_MS))
    toy.apply(watch(51, video="v32", at_ms=START_MS + 41 * L.DAY_MS))
    kept = toy.read("u0", [0, 1, 2, 32], START_MS + 41 * L.DAY_MS).pair[:, 0, 0] > 0
    assert kept.tolist() == [True, False, True, True]


def test_the_history_keeps_the_last_fifty_watches_with_their_marks():
    toy = ToyState()
    toy.apply(*(watch(n, video=f"v{n % 40}", at_ms=START_MS + n) for n in range(60)))
    toy.apply(NotInterested(event_id="x", viewer_id="u0", video_id="v19", time_ms=START_MS + 99))
    record = toy.records[0]
    assert record["history_len"] == 50
    assert record["history_video"].tolist() == [n % 40 for n in range(10, 60)]
    # v19 was watched as number 19 and 59: the later one bears the mark
    marked = np.flatnonzero(record["history_signal"] & L.NEGATIVE_BIT)
    assert marked.tolist() == [49]


def test_a_session_ends_after_thirty_quiet_minutes():
    toy = ToyState().apply(watch(1), watch(2, at_ms=START_MS + 60_000, play_ms=1_000))
    alive = toy.read("u0", [0], START_MS + 60_000 + L.SESSION_GAP_MS).own[0]
    # two watches, no long view, one skip, one in a row; ratios 0.5 and 0.05
    assert alive[:4].tolist() == [2, 0, 1, 1]
    assert alive[4] / L.UNIT == pytest.approx(0.55, abs=2 / L.UNIT)
    over = toy.read("u0", [0], START_MS + 60_001 + L.SESSION_GAP_MS).own[0]
    assert over[:5].tolist() == [0] * 5 and over[5] == L.SESSION_GAP_MS + 1


def test_taste_is_the_decayed_sum_of_embeddings_by_surprise():
    # A watch of ratio 0.5 weighs 0.5 - 0.4; one half-life of 14 days later both sums have halved.
    toy = ToyState().apply(watch(1, video="v3"))
    blocks = toy.read("u0", [7], START_MS + L.PAIR_HALF_LIFE_MS)
    content = toy.table.embedding.astype(np.float64)
    assert blocks.match[0, 2] == pytest.approx(0.5 * 0.1 * content[3] @ content[7], rel=1e-5)
    assert blocks.own[0, 7] == pytest.approx(0.5)
