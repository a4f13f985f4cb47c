"""Joins day after day, each once and only when it is final; a day that is joined again gives the same bytes."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from core.ports import BlobStore, EventLog, SlateLog
from features.logged import LoggedSlate, logged_slate
from training.feedback.files import day_end_ms, day_name, days_written, key_of, rows_as_bytes
from training.feedback.join import DayReport, Join
from training.feedback.reports import read_reports
from training.feedback.rules import JoinConfig

_READ: Final = 500
Progress = Callable[[str, int, int], None]


class JoinReport(msgspec.Struct, frozen=True, kw_only=True):
    """The days that were joined now, those that were there before, and those that still wait for feedback."""

    joined: tuple[DayReport, ...]
    written_before: tuple[str, ...]
    waiting: tuple[str, ...]


@dataclass(slots=True)
class _Stretch:
    """Where the slates of a day lie: places after..until of the slate log; the lowest offset they were served at."""

    after: int
    until: int
    applied_offset: int


async def join_days(
    slates: SlateLog,
    log: EventLog,
    blobs: BlobStore,
    now_ms: int,
    config: JoinConfig | None = None,
    *,
    again: bool = False,
    one_log: bool = True,
    progress: Progress = lambda step, done, total: None,
) -> JoinReport:
    """Write the rows of every day that is final and not written yet (`again`: of every final day).

    With `one_log` a slate's feedback lies beyond its `applied_offset`, and the log before that is not read; without,
    offsets are of something else, and all of it is.
    """
    config = config or JoinConfig()
    stretches = await _stretches(slates)
    written = set(await days_written(blobs))
    final = [day for day in sorted(stretches) if now_ms > config.final_at_ms(day_end_ms(day))]
    due = [day for day in final if again or day not in written]
    joined = []
    for number, day in enumerate(due, 1):
        stretch = stretches[day]
        report = await _join_day(slates, log, blobs, config, day, stretch, stretch.applied_offset if one_log else 0)
        joined.append(report)
        progress("joining feedback", number, len(due))
    return JoinReport(
        joined=tuple(joined),
        written_before=tuple(sorted(written - set(due))),
        waiting=tuple(sorted(stretches.keys() - set(final))),
    )


async def _join_day(
    slates: SlateLog, log: EventLog, blobs: BlobStore, config: JoinConfig, day: str, stretch: _Stretch, after: int
) -> DayReport:
    reports = await read_reports(log, after, config.final_at_ms(day_end_ms(day)))
    join = Join(reports, config, DayReport(day=day))
    served = [logged async for logged in _slates_of(slates, day, stretch, join.report)]
    outcomes = join.outcomes(served)
    await blobs.put(key_of(day), rows_as_bytes(outcomes, config))
    return join.report


async def _stretches(slates: SlateLog) -> Mapping[str, _Stretch]:
    """Where the slates of each day are."""
    found: dict[str, _Stretch] = {}
    after = 0
    while batch := await slates.logged(after, _READ):
        for place, slate, _ in batch:
            stretch = found.setdefault(day_name(slate.time_ms), _Stretch(after, place, slate.applied_offset))
            stretch.until = place
            stretch.applied_offset = min(stretch.applied_offset, slate.applied_offset)
            after = place
    return found


async def _slates_of(slates: SlateLog, day: str, stretch: _Stretch, report: DayReport) -> AsyncIterator[LoggedSlate]:
    """The slates of a day that have feature rows; the others are counted."""
    after = stretch.after
    while after < stretch.until and (batch := await slates.logged(after, _READ)):
        after = batch[-1][0]
        for _, slate, detail in batch:
            if day_name(slate.time_ms) != day:
                continue
            logged = logged_slate(slate, detail)
            if logged is not None:
                yield logged
            elif slate.video_ids:
                report.without_features += 1
