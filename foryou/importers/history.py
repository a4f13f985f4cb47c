"""Histories that carry order and no times: watches spread backwards from the last one."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from core.events import Event, Like, Watch
from foryou.importers.ids import own_id
from foryou.importers.stream import Built

PREFIX: Final = "history:"
SKIP_MS: Final = 3_000


class HistoryBuild:
    """Makes watches and likes of sequences of videos, oldest first.

    Columns: user_id, history_len (watches of the period), last_time_ms, watch_seq (the last of them), and
    long_watch_seq, like_seq (subsequences of the whole period). The watches are evenly spaced so that `history_len`
    of them would fill the time from `first_ms` to `last_time_ms`. A long watch plays the whole length, another one
    3 seconds. Long watches and likes older than the oldest watch of watch_seq are left out and counted: they would
    make the rates of a viewer with a long history too high. Event ids start with "history:".
    """

    remember = False
    columns: ClassVar = (
        "user_id", "history_len", "last_time_ms", "watch_seq", "long_watch_seq", "like_seq",
    )  # fmt: skip

    def __init__(self, source: str, lengths: Mapping[str, int], first_ms: int) -> None:
        self._source, self._lengths, self._first_ms = source, lengths, first_ms

    async def build(self, batch: Any) -> Built:
        """The events of each viewer, oldest first."""
        built = Built([])
        for row, cells in enumerate(zip(*(batch.column(name).to_pylist() for name in self.columns), strict=True)):
            user, count, last_ms, *sequences = cells
            if user is None or last_ms is None or last_ms <= self._first_ms:
                built.rejected.append((row, "user_id or last_time_ms is missing or too early"))
                continue
            watched, long, liked = ([str(video) for video in cells or ()] for cells in sequences)
            long_at, older_long = match_from_end(watched, long)
            liked_at, older_liked = match_from_end(watched, liked)
            step_ms = max(1, (last_ms - self._first_ms) // max(count or 0, len(watched), 1))
            times = [last_ms - step_ms * back for back in range(len(watched) - 1, -1, -1)]
            unknown = self._add(built.events, str(user), watched, times, long_at, liked_at)
            _count(built, "history: long watches before the window", older_long)
            _count(built, "history: likes before the window", older_liked)
            _count(built, "history: watches of a video without length", unknown)
        return built

    def _add(
        self, events: list[Event], viewer: str, watched: Sequence[str], times: Sequence[int],
        long_at: set[int], liked_at: set[int],
    ) -> int:  # fmt: skip
        """Add one viewer's events; how many watches were left out because nobody knows the video's length."""
        unknown = 0
        for place, (video, time_ms) in enumerate(zip(watched, times, strict=True)):
            length_ms = self._lengths.get(video, 0)
            if length_ms <= 0:
                unknown += 1
                continue
            long = place in long_at
            events.append(
                Watch(
                    event_id=PREFIX + own_id(self._source, "watch", viewer, str(place)),
                    viewer_id=viewer,
                    time_ms=time_ms,
                    ingested_ms=time_ms,
                    video_id=video,
                    play_ms=length_ms if long else min(SKIP_MS, length_ms),
                    length_ms=length_ms,
                    long_view=long,
                )
            )
            if place in liked_at:
                like_id = PREFIX + own_id(self._source, "like", viewer, str(place))
                events.append(
                    Like(
                        event_id=like_id, viewer_id=viewer, time_ms=time_ms + 1, ingested_ms=time_ms + 1, video_id=video
                    )
                )
        return unknown


def match_from_end(whole: Sequence[str], part: Sequence[str]) -> tuple[set[int], int]:
    """The places in `whole` of the end of its subsequence `part`, and how many of `part` lie before `whole`."""
    places: set[int] = set()
    left = len(part)
    for place in range(len(whole) - 1, -1, -1):
        if left and whole[place] == part[left - 1]:
            places.add(place)
            left -= 1
    return places, left


def _count(built: Built, note: str, number: int) -> None:
    if number:
        built.notes[note] = built.notes.get(note, 0) + number
