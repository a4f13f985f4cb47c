"""What a session's reactions to shorter and longer videos say: by hand, in the log's own order, and at its edges."""

import numpy as np
import pytest

from core.errors import CorruptData
from features.layout import LONG_VIEW_BIT, MINUTE_MS, SKIP_BIT
from feeds.session_lengths import EDGES_MS, SessionLengths, fit_session_lengths

SHORT, LONG = 0, 1  # rows of the catalogue
LENGTH_MS = np.array([10_000, 60_000])
HALF = SessionLengths(30_000, (0.5,) * (len(EDGES_MS) + 1))
NOW = 100 * MINUTE_MS


def lift(lengths, watches, now=NOW, catalogue=LENGTH_MS):
    """The lift of a short and of a long video after watches (video, signal, minutes ago)."""
    video, signal = np.array([[v for v, _, _ in watches]], np.int32), np.array([[s for _, s, _ in watches]], np.uint8)
    ago = np.array([[minutes for _, _, minutes in watches]], np.float64).reshape(1, -1)
    time_ms = (now - ago * MINUTE_MS).astype(np.int64)
    return lengths.lift(
        np.zeros(2, np.int32), video.reshape(1, -1), signal.reshape(1, -1), time_ms, np.array([len(watches)]),
        np.array([now]), LENGTH_MS, catalogue,
    ).tolist()  # fmt: skip


def test_short_videos_rise_and_long_ones_fall_when_a_short_one_was_watched_and_a_long_one_left():
    # Both just now: +.5 for the short one, -.5 for the long one, their mean 0: (.5 + .5) / (2 + 20).
    got = lift(HALF, [(SHORT, LONG_VIEW_BIT, 0), (LONG, SKIP_BIT, 0)])
    assert got == pytest.approx([1 / 22, -1 / 22])


def test_a_watch_counts_half_after_ten_minutes_and_not_at_all_after_two_hours():
    # +.5 at weight 1/2: sum .25, the session's mean .25 / (.5 + 1) = 1/6, surprise .5 (.5 - 1/6) = 1/6.
    assert lift(HALF, [(SHORT, LONG_VIEW_BIT, 10)]) == pytest.approx([1 / 6 / 20.5, -1 / 6 / 20.5])
    assert lift(HALF, [(SHORT, LONG_VIEW_BIT, 121)]) == [0, 0]


def test_videos_that_came_since_no_history_and_no_split_say_nothing():
    assert lift(HALF, [(7, LONG_VIEW_BIT, 0)]) == [0, 0]
    assert lift(HALF, []) == [0, 0]
    assert lift(SessionLengths(), [(SHORT, LONG_VIEW_BIT, 0)]) == [0, 0]


def sessions(rng, moody, count=300, views=20):
    """Watches of one session each: in a mood for videos under 40 s, or over, they stay with four of five such."""
    length_ms = np.array([8_000, 15_000, 25_000, 38_000, 45_000, 70_000, 120_000])
    video = rng.integers(0, len(length_ms), count * views).astype(np.int32)
    mood = np.repeat(rng.random(count) < 0.5, views)
    fits = (length_ms[video] < 40_000) == mood
    stays = rng.random(len(video)) < (np.where(fits, 0.8, 0.2) if moody else 0.5)
    signal = np.where(stays, LONG_VIEW_BIT, SKIP_BIT).astype(np.uint8)
    time_ms = np.tile(np.arange(views) * 10_000, count).astype(np.int64)
    return np.arange(count + 1) * views, video, signal, time_ms, length_ms


def test_the_length_that_divides_the_sessions_is_found_and_none_where_none_does():
    found = fit_session_lengths(*sessions(np.random.default_rng(1), moody=True), longest=50)
    assert 38_000 < found.split_ms <= 45_000
    assert found.expected == pytest.approx([0.5] * len(found.expected), abs=0.06)
    assert fit_session_lengths(*sessions(np.random.default_rng(2), moody=False), longest=50).split_ms == 0


def test_an_empty_log_divides_nothing():
    none = np.zeros(0, np.int64)
    assert fit_session_lengths(np.zeros(1, np.int64), none.astype(np.int32), none.astype(np.uint8), none, none, 50) == (
        SessionLengths()
    )


def test_it_comes_back_from_its_bytes_and_other_bytes_are_refused():
    assert SessionLengths.from_bytes(HALF.to_bytes()) == HALF
    for raw in (b"{}", b"nothing", b'{"split_ms": 1, "expected": [1]}'):
        with pytest.raises(CorruptData):
            SessionLengths.from_bytes(raw)
