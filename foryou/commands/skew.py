"""`foryou features skew` and `foryou features join`: whether logged rows come out again, and rows to learn from."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InputError
from foryou.commands.home import HomeOption, JsonOption, require_log, settings_of
from foryou.console import Steps, note, show_json, show_table

if TYPE_CHECKING:
    from core.ports import SlateLog
    from core.settings import Settings
    from features.archive.reader import ArchivedLog
    from features.logged import LoggedSlate
    from features.skew.report import FeatureDifference, SkewReport
    from features.skew.states import CatalogueAt, StateAt
    from training.config import TrainConfig
    from training.feedback.days import JoinReport
    from training.feedback.rows import LoggedRows
    from training.log_data import LogData

_READ = 500


def skew(
    slates: Annotated[int | None, typer.Option(min=1, help="Newest slates to check.", show_default="all")] = None,
    feast: Annotated[bool, typer.Option(help="Also by Feast's point-in-time join.")] = True,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compute the logged feature rows of HOME's slates again from its log; exits with 1 where any value differs.

    Example: foryou features skew --slates 1000

    The log is counted again to the offsets that each row was read at, and every value is compared to the last bit;
    Feast's point-in-time join over the same states must come within one float32 ulp.
    """
    settings = settings_of(home=home)
    require_log(settings)
    with Steps() as steps:
        report = asyncio.run(check_home(settings, slates, feast, steps))
    if json:
        show_json(report)
    else:
        show_report(report)
    if not report.clean:
        raise typer.Exit(1)


def join(
    again: Annotated[bool, typer.Option("--again", help="Also days that were joined before.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Join HOME's slates with what viewers did next: training rows of every day that is final.

    Example: foryou features join

    Rows go to HOME/training_rows/day=YYYY-MM-DD. A day is final when the longest window after its last slate has
    passed; joining it again gives the same file. `foryou train --logged` learns from them.
    """
    settings = settings_of(home=home)
    require_log(settings)
    with Steps() as steps:
        report = asyncio.run(join_home(settings, again, steps))
    if json:
        show_json(report)
    else:
        _show_days(report)


@dataclass(frozen=True)
class ServedLog:
    """What was served and where it can be counted again: slates, states, the catalogue's past, author ids by code."""

    slates: "SlateLog"
    states: "StateAt"
    catalogue: "Callable[[], CatalogueAt]"
    authors: "Sequence[str]"


@asynccontextmanager
async def served_log(settings: "Settings") -> "AsyncIterator[ServedLog]":
    """The one log of a home, or the topics of a cluster, archive and log together."""
    if settings.backends == "cluster":
        async with _topics(settings) as topics:
            from core.topics import CATALOGUE, SLATES
            from features.backfill.catalogue import read_catalogue
            from features.skew.archived import ArchivedCatalogue, ArchivedStates
            from feeds.logged_slates import ArchivedSlates

            authors = (await read_catalogue(topics(CATALOGUE))).past.table.authors.words
            slates = ArchivedSlates(topics(SLATES))
            yield ServedLog(slates, ArchivedStates(topics), lambda: ArchivedCatalogue(topics), authors)
        return
    from features.skew.one_log import LogCatalogue, LogStates
    from foryou.stores import open_stores

    stores = open_stores(settings.home)
    try:
        assert stores.slate_log is not None
        states = LogStates(stores.log, await stores.tables.all_users())
        authors = (await stores.videos.load()).authors.words
        yield ServedLog(stores.slate_log, states, lambda: LogCatalogue(stores.log), authors)
    finally:
        stores.close()


@asynccontextmanager
async def _topics(settings: "Settings") -> "AsyncIterator[Callable[[str], ArchivedLog]]":
    """A cluster's topics, each with its archive."""
    from foryou.cluster import open_sources

    sources = await open_sources(settings, online=False)
    try:
        yield sources.log
    finally:
        if sources.close is not None:
            await sources.close()


async def check_home(settings: "Settings", newest: int | None, feast: bool, steps: Steps) -> "SkewReport":
    """The check over what a home, or a cluster, logged."""
    import msgspec

    from features.skew.check import check_skew

    async with served_log(settings) as served:
        steps.begin("reading the slates")
        logged, left_out = await newest_slates(served.slates, newest)
        if not logged:
            raise InputError(f"No slate in {settings.home} has logged feature rows; serve some with `foryou feed`.")
        if left_out:
            note(f"{left_out:,} slates have no detail, served nothing or were logged by an older build: left out.")
        replayed = await check_skew(logged, served.states, served.catalogue(), served.authors, steps)
        if not feast:
            return replayed.report
        from features.skew.feast_join import check_join

        steps.begin("point-in-time join")
        with tempfile.TemporaryDirectory(prefix="skew-", dir=settings.home) as folder:
            joined = await check_join(replayed, served.catalogue(), Path(folder))
        return msgspec.structs.replace(replayed.report, join=joined)


async def newest_slates(slates: "SlateLog", newest: int | None) -> "tuple[list[LoggedSlate], int]":
    """(the last slates that logged what their rows were read from, how many others were passed over)."""
    from features.logged import logged_slate

    found: list[LoggedSlate] = []
    left_out = after = 0
    while batch := await slates.logged(after, _READ):
        after = batch[-1][0]
        logged = [logged_slate(slate, detail) for _, slate, detail in batch]
        kept = [one for one in logged if one is not None]
        found, left_out = found + kept, left_out + len(logged) - len(kept)
        if newest is not None:
            found = found[-newest:]
    return found, left_out


async def join_home(settings: "Settings", again: bool, steps: Steps) -> "JoinReport":
    """The join over the slates and events of a home, or of a cluster."""
    from core.clock import system_clock
    from foryou.opening import opened_stores
    from foryou.stores import training_blobs
    from training.feedback.days import join_days

    async with opened_stores(settings) as stores, served_log(settings) as served:
        blobs, one_log = training_blobs(settings.home), stores.applies
        return await join_days(
            served.slates, stores.log, blobs, system_clock(), again=again, one_log=one_log, progress=steps
        )


async def joined_rows(
    settings: "Settings", data: "LogData", config: "TrainConfig", steps: Steps
) -> "LoggedRows | None":
    """Every joined row of a home after a join; None, and a note, where they are fewer than the configuration asks."""
    from foryou.stores import training_blobs
    from training.feedback.files import days_written, read_rows
    from training.feedback.rows import training_rows

    await join_home(settings, False, steps)
    blobs = training_blobs(settings.home)
    table = await read_rows(blobs, await days_written(blobs))
    rows = training_rows(table, data.state.table, data.driver.viewers, data.surfaces)
    if len(rows.rows) >= config.min_logged_rows:
        return rows
    note(
        f"Only {len(rows.rows):,} joined rows ({config.min_logged_rows:,} are asked for): the heads learn from rows"
        " computed again from the log."
    )
    return None


def show_report(report: "SkewReport") -> None:
    """The check for a person."""
    title = f"{report.rows:,} logged rows of {report.slates:,} slates, {report.features} features each"
    values = report.rows * report.features
    print(f"{title}: {len(report.differences)} features differ, {report.seconds:.1f} s ({values:,} values)")
    _show_differences("Not the same to the last bit", report.differences)
    if report.missing_states:
        first = report.missing[0]
        note(
            f"{report.missing_states:,} states are not in the log ({report.missing_rows:,} rows were not compared):"
            f" the {first.entity} {first.id} at offset {first.version} is the first."
        )
    rows = [(s.entity, s.states, s.p50_ms, s.p90_ms, s.p99_ms, s.max_ms) for s in report.staleness]
    show_table("Staleness: applied less event time, ms", ("state of", ">states", ">p50", ">p90", ">p99", ">max"), rows)
    if report.join is not None:
        found = report.join
        print(
            f"By Feast's point-in-time join: {found.rows:,} rows from {found.states:,} states, at most {found.max_ulp}"
            f" ulp apart, {found.wrong_states} states mistaken, {found.seconds:.1f} s"
        )
        _show_differences("More than one ulp apart", found.beyond_one_ulp)


def _show_differences(title: str, differences: "tuple[FeatureDifference, ...]") -> None:
    if not differences:
        return
    columns = ("feature", ">rows", ">most", "example: slate, video", ">logged", ">again", "versions")
    rows = [
        (d.feature, d.rows, f"{d.max_absolute:.3g}", f"{d.example.slate_id}, {d.example.video_id}",
         f"{d.example.logged:.9g}", f"{d.example.recomputed:.9g}",
         f"{d.example.viewer_version}/{d.example.video_version}/{d.example.author_version}/{d.example.trend_version}")
        for d in differences
    ]  # fmt: skip
    show_table(title, columns, rows)


def _show_days(report: "JoinReport") -> None:
    rows = [
        (d.day, d.slates, d.served, d.not_loaded, d.rows, d.watched, d.left_at_once, d.unknown_end, d.after_window,
         d.arrived_late)
        for d in report.joined
    ]  # fmt: skip
    columns = (
        "day", ">slates", ">served", ">not loaded", ">rows", ">watched", ">left at once", ">unknown", ">after window",
        ">late",
    )  # fmt: skip
    show_table("Joined", columns, rows)
    if report.waiting:
        note(f"Waiting for feedback: {', '.join(report.waiting)}.")
