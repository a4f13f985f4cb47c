"""Counts events into hours: each viewer once for a video, a kind and a window, by what they weigh.

A viewer's view counts in the newest hour in which they viewed, and leaves the hour in which it counted before. So the
sum of any last hours is the number of distinct viewers in them, for every length of window at once.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, cast

from core.events import AnyEvent, Event, Impression, Like, Share, Unlike, Watch
from core.ports import Record
from core.trends import HOUR_MS, LIKE, SHARE, VIEW, Mark, Standing, TrendState, TrendStep, mark_key, no_changes
from feeds.trending.config import TrendingConfig

_DAY_MS: Final = 24 * HOUR_MS
_KIND: Final[Mapping[type[Event], int]] = {Watch: VIEW, Like: LIKE, Unlike: LIKE, Share: SHARE}
_POINTS: Final = 3  # where a sum has its raw points, after the three kinds
_KEEP_IDS_MS: Final = 8 * _DAY_MS
_Counted = Watch | Like | Unlike | Share
_Act = tuple[int, _Counted]  # with its mark's key


class TrendCounting:
    """Applies records of the log to a state, in the order of their offsets, each once.

    Where a log may deliver an event twice under two offsets (`repeats`), event ids are remembered for eight days.
    """

    def __init__(self, state: TrendState, config: TrendingConfig, *, repeats: bool = False) -> None:
        self.state, self._config, self._repeats = state, config, repeats
        self._points = (config.view_points, config.like_points, config.share_points)

    def apply(self, records: Sequence[Record], regions: Mapping[str, str], after: int, offset: int) -> None:
        """Count what was not counted yet; `regions` of viewers whose events are not stamped with one.

        What happened in hours up to `after` is left out: no window reaches back to it. `offset` is that of the last
        record, or of what was passed over behind it.
        """
        with self.state.step():
            done = self.state.position()
            fresh = [record.event for record in records if record.offset > done]
            step = TrendStep(max(offset, done))
            self._count(self._distinct(fresh, step), regions, after, step)
            self.state.commit(step)

    def _distinct(self, events: list[AnyEvent], step: TrendStep) -> list[AnyEvent]:
        """Without those whose id was seen before."""
        if not self._repeats or not events:
            return events
        hashes = [blake2b(f"{e.viewer_id}\0{e.event_id}".encode(), digest_size=16).digest() for e in events]
        known, fresh = self.state.seen(hashes), list[AnyEvent]()
        for event, key in zip(events, hashes, strict=True):
            at_ms, first_ms = taken_ms(event), known.get(key)
            if first_ms is None or at_ms - first_ms > _KEEP_IDS_MS:
                known[key] = step.event_ids[key] = at_ms
                fresh.append(event)
        return fresh

    def _count(self, events: Sequence[AnyEvent], regions: Mapping[str, str], after: int, step: TrendStep) -> None:
        """The changes that these events make, in their order."""
        acts: list[_Act | None] = [_act(event, after) for event in events]
        standings = self.state.standings(list({event.viewer_id for event in events}))
        marks = self.state.marks(list({act[0] for act in acts if act is not None}))
        for event, act in zip(events, acts, strict=True):
            viewer, at_ms = event.viewer_id, taken_ms(event)
            before = standings.get(viewer)
            now = self._advanced(before or Standing(at_ms), event, at_ms)
            if now is not before:
                standings[viewer] = step.standings[viewer] = now
            if act is not None:
                region = event.viewer_region or regions.get(viewer, "")
                self._mark(act, self._units(now, at_ms), region, marks, step)

    def _advanced(self, standing: Standing, event: AnyEvent, at_ms: int) -> Standing:
        """The viewer's standing after an event; the same object where nothing changes."""
        if type(event) is not Impression or self._shown_enough(standing):
            return standing if at_ms >= standing.first_ms else standing._replace(first_ms=at_ms)
        day, first_ms = at_ms // _DAY_MS, min(standing.first_ms, at_ms)
        days = 1 if standing.day < 0 else standing.days if day == standing.day else 2
        return Standing(first_ms, standing.impressions + 1, day if standing.day < 0 else standing.day, days)

    def _shown_enough(self, standing: Standing) -> bool:
        return standing.impressions >= self._config.least_impressions and standing.days >= self._config.least_days

    def _units(self, standing: Standing, at_ms: int) -> int:
        old_enough = at_ms - standing.first_ms > self._config.least_age_ms
        return self._config.full_units if old_enough and self._shown_enough(standing) else self._config.light_units

    def _mark(self, act: _Act, units: int, region: str, marks: dict[int, Mark], step: TrendStep) -> None:
        """Move the viewer's mark, and with it what counts in its hours."""
        (key, event), kind = act, _KIND[type(act[1])]
        time_ms = min(event.time_ms, taken_ms(event))
        hour, video = time_ms // HOUR_MS, event.video_id
        undoes = type(event) is Unlike
        step.sums.setdefault((hour, video, region), no_changes())[_POINTS] += (
            -self._points[kind] if undoes else self._points[kind]
        )
        last = marks.get(key)
        if last is not None and (time_ms < last.time_ms if kind == LIKE else hour <= last.hour):
            return
        if last is not None and last.units:
            step.sums.setdefault((last.hour, video, last.region), no_changes())[kind] -= last.units
        marks[key] = step.marks[key] = Mark(hour, 0 if undoes else units, region, time_ms)
        step.sums.setdefault((hour, video, region), no_changes())[kind] += 0 if undoes else units


def taken_ms(event: Event) -> int:
    """When the event was taken in, by our clock; what was imported has its own time alone."""
    return event.ingested_ms or event.time_ms


def _act(event: AnyEvent, after: int) -> _Act | None:
    """The event with its mark's key where it counts for a video in an hour after `after`."""
    kind = _KIND.get(type(event))
    if kind is None or min(event.time_ms, taken_ms(event)) // HOUR_MS <= after:
        return None
    acted = cast(_Counted, event)
    return mark_key(acted.viewer_id, acted.video_id, kind), acted
