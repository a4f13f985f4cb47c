"""The join of one day: every served video that was shown becomes one row, with the labels that its rules give."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from features.logged import LoggedSlate
from training.feedback.reports import Report, Reports
from training.feedback.rules import LONGEST_WINDOW_MS, REACTION_RULES, WATCH_RULES, JoinConfig


class DayReport(msgspec.Struct, kw_only=True):
    """What became of the videos served on one day."""

    day: str
    slates: int = 0
    served: int = 0
    without_features: int = 0
    not_loaded: int = 0
    rows: int = 0
    watched: int = 0
    left_at_once: int = 0
    unknown_end: int = 0
    repeated_slates: int = 0
    repeated_impressions: int = 0
    after_window: int = 0
    arrived_late: int = 0


class Outcome(NamedTuple):
    """What is known of one shown video: when, its watch (None: not reported in time), its reactions by head, and
    whether the viewer went on to another video."""

    logged: LoggedSlate
    position: int
    shown_ms: int
    watch: Report | None
    reacted: frozenset[str]
    went_on: bool


@dataclass(slots=True)
class Join:
    """Joins slates to reports; the report counts what happened on the way."""

    reports: Reports
    config: JoinConfig
    report: DayReport
    _known: set[str] = field(default_factory=set)

    def outcomes(self, slates: Iterable[LoggedSlate]) -> list[Outcome]:
        """One for each video that was shown, by (served, slate, position); a slate that comes again is passed over."""
        found = list[Outcome]()
        for logged in slates:
            slate = logged.slate
            if slate.slate_id in self._known:
                self.report.repeated_slates += 1
                continue
            self._known.add(slate.slate_id)
            self.report.slates += 1
            self.report.served += len(slate.video_ids)
            for position in range(len(slate.video_ids)):
                outcome = self._outcome(logged, position)
                if outcome is not None:
                    found.append(outcome)
        self.report.rows = len(found)
        return sorted(found, key=lambda o: (o.logged.slate.time_ms, o.logged.slate.slate_id, o.position))

    def _outcome(self, logged: LoggedSlate, position: int) -> Outcome | None:
        slate = logged.slate
        video_id = slate.video_ids[position]
        overdue = self.reports.overdue.get((slate.slate_id, video_id), ())
        self.report.arrived_late += sum(time_ms - slate.time_ms <= LONGEST_WINDOW_MS for time_ms in overdue)
        shown_ms = self._shown(logged, video_id)
        if shown_ms is None:
            self.report.not_loaded += 1
            return None
        mine = self._mine(slate.viewer_id, video_id, slate.slate_id, shown_ms)
        watch = next((r for r in mine if r.kind == "watch" and _within(r, shown_ms, WATCH_RULES[0].window_ms)), None)
        reacted = frozenset(
            rule.head
            for rule in REACTION_RULES
            if any(r.kind in rule.kinds and _within(r, shown_ms, rule.window_ms) for r in mine)
        )
        went_on = watch is not None or self._went_on(slate.viewer_id, shown_ms)
        self._count(watch is not None, went_on)
        return Outcome(logged, position, shown_ms, watch, reacted, went_on)

    def _shown(self, logged: LoggedSlate, video_id: str) -> int | None:
        """When the first impression of the video in this slate was, None when none was in time."""
        slate, c = logged.slate, self.config
        times = [
            time_ms
            for time_ms, _ in self.reports.impressions.get((slate.slate_id, video_id), ())
            if slate.time_ms - c.early_ms <= time_ms <= slate.time_ms + c.shown_window_ms
        ]
        self.report.repeated_impressions += max(len(times) - 1, 0)
        return times[0] if times else None

    def _mine(self, viewer_id: str, video_id: str, slate_id: str, shown_ms: int) -> list[Report]:
        """The reports that belong to this slate: those that name it, and those that name none and follow no later
        impression of the video."""
        anchors = self.reports.anchors.get((viewer_id, video_id), [])
        mine = list[Report]()
        for report in self.reports.reactions.get((viewer_id, video_id), ()):
            owner = report.slate_id or _latest(anchors, report.time_ms)
            if owner == slate_id and report.time_ms >= shown_ms:
                mine.append(report)
                window_ms = WATCH_RULES[0].window_ms if report.kind == "watch" else LONGEST_WINDOW_MS
                self.report.after_window += not _within(report, shown_ms, window_ms)
        return mine

    def _went_on(self, viewer_id: str, shown_ms: int) -> bool:
        times = self.reports.shown_to.get(viewer_id, [])
        after = bisect_right(times, shown_ms)
        return after < len(times) and times[after] - shown_ms <= self.config.went_on_ms

    def _count(self, watched: bool, went_on: bool) -> None:
        self.report.watched += watched
        self.report.left_at_once += went_on and not watched
        self.report.unknown_end += not went_on


def _within(report: Report, shown_ms: int, window_ms: int) -> bool:
    return report.time_ms - shown_ms <= window_ms


def _latest(anchors: list[tuple[int, int, str]], time_ms: int) -> str:
    """The slate of the latest impression up to a moment, "" when there is none."""
    at = bisect_right(anchors, time_ms, key=lambda anchor: anchor[0]) - 1
    return anchors[at][2] if at >= 0 else ""
