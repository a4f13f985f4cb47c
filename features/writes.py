"""Writes to raw state: one event into every counter, slot, session and history that it touches."""

# numba infers the types of its functions
# mypy: allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ANN001, ANN201, ANN202, SIM109

import numpy as np
from numba import njit

from features.decay import decay_factor, decayed
from features.layout import (
    CLICK_BIT,
    CLICKS,
    COMMENTS,
    COMPLETIONS,
    FAMILIES,
    FOLLOWS,
    HISTORY,
    IMPRESSIONS,
    LIKE_BIT,
    LIKES,
    LONG_VIEW_BIT,
    LONG_VIEWS,
    NEGATIVE_BIT,
    NEGATIVES,
    OP,
    PAIR_SATURATION,
    PAIR_UNIT,
    RATIO,
    SATURATION,
    SESSION_GAP_MS,
    SHARES,
    SKIP_BIT,
    SKIPS,
    SLOT_START,
    STRONG_BIT,
    TASTE_DIM,
    UNIT,
    WATCH_S,
    WATCHES,
)
from features.raw import PAIR_QUANTUM, VIDEO_QUANTA, VIEWER_QUANTA
from features.reads import pair_keys, trend_row

_IMPRESSION, _WATCH = OP["impression"], OP["watch"]
_LIKE, _UNLIKE, _SHARE, _COMMENT = OP["like"], OP["unlike"], OP["share"], OP["comment"]
_SAVE, _UNSAVE, _NOT, _REPORT = OP["save"], OP["unsave"], OP["not_interested"], OP["report"]
_FOLLOW, _UNFOLLOW, _HIDE, _BLOCK = OP["follow"], OP["unfollow"], OP["hide_author"], OP["block"]
_EXPECTED_RATIO = 0.4


@njit(cache=True)
def add_counts(counts, steps, quanta, row, time_ms, gain):
    """Add gain [actions] at time_ms; a late event is added as decayed as it would be by now."""
    for h in range(quanta.shape[0]):
        step = time_ms // quanta[h]
        passed = step - steps[row, h]
        if passed > 0:
            for a in range(counts.shape[2]):
                counts[row, h, a] = decayed(counts[row, h, a], passed)
            steps[row, h] = step
        for a in range(gain.shape[0]):
            if gain[a] != 0:
                value = counts[row, h, a] + decayed(gain[a], -passed)
                counts[row, h, a] = min(max(value, 0), SATURATION)


@njit(cache=True)
def add_pairs(viewers, viewer, keys, time_ms, gain):
    """Add gain [pair actions] to viewer x key in each family; a full family evicts its stalest slot."""
    step = time_ms // PAIR_QUANTUM
    for family in range(keys.shape[0]):
        if keys[family] < 0:
            continue
        found = -1
        stalest = SLOT_START[family]
        for slot in range(SLOT_START[family], SLOT_START[family + 1]):
            key = viewers.pair_key[viewer, slot]
            if key == keys[family] + 1 or key == 0:
                found = slot
                break
            if viewers.pair_step[viewer, slot] < viewers.pair_step[viewer, stalest]:
                stalest = slot
        if found < 0:
            found = stalest
        if viewers.pair_key[viewer, found] != keys[family] + 1:
            viewers.pair_key[viewer, found] = keys[family] + 1
            viewers.pair_step[viewer, found] = step
            viewers.pair_count[viewer, found, :] = 0
        _add_slot(viewers, viewer, found, step, gain)


@njit(cache=True, inline="always")
def _add_slot(viewers, viewer, slot, step, gain):
    passed = step - viewers.pair_step[viewer, slot]
    if passed > 0:
        viewers.pair_step[viewer, slot] = step
    for a in range(gain.shape[0]):
        value = decayed(np.int64(viewers.pair_count[viewer, slot, a]), passed)
        value += decayed(gain[a], -passed)
        viewers.pair_count[viewer, slot, a] = min(max(value, 0), PAIR_SATURATION)


@njit(cache=True)
def fill_gains(op, known, play_ms, length_ms, long_view, click, gain, pair, totals):
    """What one event adds, from the event alone, into gain [actions], pair [pair actions] and totals [totals];
    `known` says whether the catalogue has its video. Returns the history bits of a watch."""
    gain[:] = 0
    pair[:] = 0
    totals[:] = 0
    if op == _IMPRESSION:
        gain[IMPRESSIONS] = UNIT
    elif op == _WATCH:
        return _watched(play_ms, length_ms, long_view, click, gain, pair, totals) if known else 0
    else:
        _reacted(op, gain, pair, totals)
    return 0


@njit(cache=True, inline="always")
def watch_ratio(play_ms, length_ms):
    """Watched / length, at most 5."""
    return min(play_ms / max(length_ms, 1), 5.0)


@njit(cache=True)
def _watched(play_ms, length_ms, long_view, click, gain, pair, totals):
    """Fill the gains of a watch and return its history bits."""
    ratio = watch_ratio(play_ms, length_ms)
    complete = ratio >= 0.95
    skip = play_ms < 3000 and not complete
    gain[WATCHES] = UNIT
    gain[LONG_VIEWS] = UNIT * long_view
    gain[COMPLETIONS] = UNIT * complete
    gain[SKIPS] = UNIT * skip
    gain[CLICKS] = UNIT * click
    gain[WATCH_S] = min(play_ms, 600_000) * UNIT // 1000
    gain[RATIO] = np.int64(min(ratio, 1.0) * UNIT)
    pair[0] = PAIR_UNIT
    pair[1] = np.int64(min(ratio, 1.0) * PAIR_UNIT)
    pair[2] = PAIR_UNIT * long_view
    pair[3] = PAIR_UNIT * skip
    totals[0] = 1
    return LONG_VIEW_BIT * long_view + SKIP_BIT * skip + CLICK_BIT * click


@njit(cache=True)
def _reacted(op, gain, pair, totals):
    """Fill the gains of an explicit reaction."""
    sign = -1 if op == _UNLIKE or op == _UNSAVE or op == _UNFOLLOW else 1
    if op == _LIKE or op == _UNLIKE:
        gain[LIKES], pair[4], totals[1] = sign * UNIT, sign * PAIR_UNIT, sign
    elif op == _COMMENT:
        gain[COMMENTS], pair[4], totals[2] = UNIT, PAIR_UNIT, 1
    elif op == _SHARE or op == _SAVE or op == _UNSAVE:
        gain[SHARES], pair[4] = sign * UNIT, sign * PAIR_UNIT
        totals[3 if op == _SHARE else 4] = sign
    elif op == _FOLLOW or op == _UNFOLLOW:
        gain[FOLLOWS], pair[4] = sign * UNIT, sign * PAIR_UNIT
    elif op == _NOT or op == _REPORT or op == _HIDE or op == _BLOCK:
        gain[NEGATIVES] = UNIT


@njit(cache=True, inline="always")
def _session_touch(viewers, viewer, time_ms):
    last = viewers.session[viewer, 1]
    if last == 0 or time_ms - last > SESSION_GAP_MS:
        viewers.session[viewer, :] = 0
        viewers.session[viewer, 0] = time_ms
        viewers.session_ratio[viewer] = 0
    viewers.session[viewer, 1] = max(time_ms, last)


@njit(cache=True, inline="always")
def _session_watch(viewers, viewer, time_ms, long_view, skip, ratio):
    _session_touch(viewers, viewer, time_ms)
    viewers.session[viewer, 2] += 1
    viewers.session[viewer, 3] += long_view
    viewers.session[viewer, 4] += skip
    viewers.session[viewer, 5] = viewers.session[viewer, 5] + 1 if skip else 0
    viewers.session_ratio[viewer] += ratio


@njit(cache=True, inline="always")
def _taste(viewers, viewer, videos, video, time_ms, weight):
    step = time_ms // PAIR_QUANTUM
    passed = step - viewers.taste_step[viewer]
    fade = decay_factor(passed)
    late = decay_factor(-passed)
    for i in range(min(TASTE_DIM, videos.embedding.shape[1])):
        kept = viewers.taste[viewer, i] * fade
        viewers.taste[viewer, i] = kept + weight * late * videos.embedding[video, i]
    viewers.taste_weight[viewer] = viewers.taste_weight[viewer] * fade + late
    if passed > 0:
        viewers.taste_step[viewer] = step


@njit(cache=True)
def _remember(viewers, viewer, video, time_ms, bits):
    """Append a watch to the history, dropping the oldest one when it is full."""
    length = viewers.history_len[viewer]
    if length == HISTORY:
        for i in range(HISTORY - 1):
            viewers.history_video[viewer, i] = viewers.history_video[viewer, i + 1]
            viewers.history_signal[viewer, i] = viewers.history_signal[viewer, i + 1]
            viewers.history_time_ms[viewer, i] = viewers.history_time_ms[viewer, i + 1]
        length -= 1
    viewers.history_video[viewer, length] = video
    viewers.history_signal[viewer, length] = bits
    viewers.history_time_ms[viewer, length] = time_ms
    viewers.history_len[viewer] = length + 1


@njit(cache=True)
def _mark(viewers, viewer, video, bit, on):
    """Set or clear a bit of the latest history entry of a video."""
    for i in range(viewers.history_len[viewer] - 1, -1, -1):
        if viewers.history_video[viewer, i] == video:
            signal = viewers.history_signal[viewer, i]
            viewers.history_signal[viewer, i] = signal | bit if on else signal & ~np.uint8(bit)
            return


@njit(cache=True)
def _mark_reaction(viewers, viewer, video, op):
    """Set or clear what a reaction leaves in the history."""
    if op == _LIKE or op == _UNLIKE:
        _mark(viewers, viewer, video, LIKE_BIT, op == _LIKE)
    elif op == _COMMENT or op == _SHARE or op == _SAVE or op == _FOLLOW:
        _mark(viewers, viewer, video, STRONG_BIT, True)
    elif op == _UNSAVE or op == _UNFOLLOW:
        _mark(viewers, viewer, video, STRONG_BIT, False)
    elif op == _NOT or op == _REPORT or op == _HIDE or op == _BLOCK:
        _mark(viewers, viewer, video, NEGATIVE_BIT, True)


@njit(cache=True)
def write_viewer(ops, i, viewers, videos, trait, gain, pair, bits):
    """Write one event, whose gains are filled, into its viewer's row; `trait` is the video's row of `videos`."""
    viewer, video, time_ms, op = ops.viewer[i], ops.video[i], ops.time_ms[i], ops.op[i]
    if op == _IMPRESSION:
        _session_touch(viewers, viewer, time_ms)
    elif op == _WATCH and video >= 0:
        ratio = watch_ratio(ops.play_ms[i], ops.length_ms[i])
        _session_watch(viewers, viewer, time_ms, ops.long_view[i], pair[3] > 0, gain[RATIO])
        _taste(viewers, viewer, videos, trait, time_ms, min(ratio, 1.0) - _EXPECTED_RATIO)
        _remember(viewers, viewer, video, time_ms, bits)
    else:
        _mark_reaction(viewers, viewer, video, op)
    add_counts(viewers.counts, viewers.steps, VIEWER_QUANTA, viewer, time_ms, gain)
    if video >= 0 and op != _IMPRESSION:
        keys = np.empty(len(FAMILIES), np.int64)
        pair_keys(videos, trait, time_ms, keys)
        add_pairs(viewers, viewer, keys, time_ms, pair)


@njit(cache=True)
def write_counters(video, author, trend, time_ms, gain, totals, video_counts, author_counts, trend_counts):
    """Write gains into the rows of a video, an author and a trend; -1 where there is none."""
    if author >= 0:
        add_counts(author_counts.counts, author_counts.steps, VIDEO_QUANTA, author, time_ms, gain)
    if video >= 0:
        add_counts(video_counts.counts, video_counts.steps, VIDEO_QUANTA, video, time_ms, gain)
        for j in range(totals.shape[0]):
            video_counts.totals[video, j] = max(video_counts.totals[video, j] + totals[j], 0)
    if trend >= 0:
        add_counts(trend_counts.counts, trend_counts.steps, VIDEO_QUANTA, trend, time_ms, gain)


@njit(cache=True)
def apply_event(ops, i, viewers, videos, video_counts, author_counts, trend_counts):
    """Write one event into every state that it touches."""
    gain = np.empty(video_counts.counts.shape[2], np.int64)
    pair = np.empty(viewers.pair_count.shape[2], np.int64)
    totals = np.empty(video_counts.totals.shape[1], np.int64)
    video = ops.video[i]
    bits = fill_gains(
        ops.op[i], video >= 0, ops.play_ms[i], ops.length_ms[i], ops.long_view[i], ops.click[i], gain, pair, totals
    )
    write_viewer(ops, i, viewers, videos, video, gain, pair, bits)
    author = ops.author[i] if ops.author[i] > 0 else -1
    trend = trend_row(videos.topic[video], ops.region[i]) if video >= 0 else np.int64(-1)
    write_counters(video, author, trend, ops.time_ms[i], gain, totals, video_counts, author_counts, trend_counts)
