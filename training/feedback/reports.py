"""What viewers reported, gathered from the log in the form in which the join asks for it."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from core.events import AnyEvent, Impression, Watch, kind_of
from core.ports import EventLog
from features.columns import watch_labels
from training.feedback.rules import REACTION_RULES

_READ: Final = 20_000
# Arrival times of concurrent intakes are in order to far less than this; it is also how long late reports are counted.
_DISORDER_MS: Final = 3_600_000
COUNTED: Final = frozenset(kind for rule in REACTION_RULES for kind in rule.kinds) | {"impression", "watch"}
Shown = tuple[str, str]
"""(slate id, video id)."""


class Report(NamedTuple):
    """One reaction or watch; `slate_id` is empty where the client named none."""

    time_ms: int
    offset: int
    kind: str
    slate_id: str
    play_ms: int = 0
    length_ms: int = 0
    long_view: bool = False
    click: bool = False


@dataclass(slots=True)
class Reports:
    """Of one stretch of the log: impressions by slate and video and by viewer, reactions by viewer and video.

    What arrived after `until_ms` is in `overdue` alone, by slate and video: it is counted and changes nothing.
    """

    until_ms: int
    impressions: dict[Shown, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    shown_to: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    anchors: dict[tuple[str, str], list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    reactions: dict[tuple[str, str], list[Report]] = field(default_factory=lambda: defaultdict(list))
    overdue: dict[Shown, list[int]] = field(default_factory=lambda: defaultdict(list))

    def add(self, offset: int, event: AnyEvent) -> None:
        """One event of the log."""
        video_id = getattr(event, "video_id", "")
        if not video_id:
            return
        kind, slate_id = kind_of(event), getattr(event, "slate_id", "")
        if kind not in COUNTED:
            return
        if (event.ingested_ms or event.time_ms) > self.until_ms:
            self.overdue[slate_id, video_id].append(event.time_ms)
        elif isinstance(event, Impression):
            if slate_id:
                self.impressions[event.slate_id, video_id].append((event.time_ms, offset))
                self.shown_to[event.viewer_id].append(event.time_ms)
                self.anchors[event.viewer_id, video_id].append((event.time_ms, offset, event.slate_id))
        else:
            self.reactions[event.viewer_id, video_id].append(_report(offset, event, kind))

    def ordered(self) -> "Reports":
        """Every list in the order of event time, then of the log."""
        for listed in (self.impressions, self.shown_to, self.anchors, self.reactions):
            for values in listed.values():
                values.sort()
        return self


def _report(offset: int, event: AnyEvent, kind: str) -> Report:
    slate_id: str = getattr(event, "slate_id", "")
    if isinstance(event, Watch):
        long_view, click = watch_labels(event)
        return Report(event.time_ms, offset, kind, slate_id, event.play_ms, event.length_ms, long_view, click)
    return Report(event.time_ms, offset, kind, slate_id)


async def read_reports(log: EventLog, after: int, until_ms: int) -> Reports:
    """The reports of the log beyond offset `after` that arrived up to `until_ms`."""
    reports = Reports(until_ms)
    while records := await log.read(after, _READ):
        after = records[-1].offset
        for record in records:
            reports.add(record.offset, record.event)
        if records[-1].event.ingested_ms > until_ms + _DISORDER_MS:
            break
    return reports.ordered()
