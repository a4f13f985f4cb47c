"""`foryou features`: feature rows computed again from the log, and compared with what was logged."""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InputError
from foryou.commands import skew
from foryou.commands.home import HomeOption, JsonOption, require_log, settings_of
from foryou.console import Steps, note, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.catalogue import ViewerRecord
    from core.settings import Settings
    from features.backfill.tasks import Counted
    from features.state import FeatureState


def group() -> typer.Typer:
    """The commands under `foryou features`."""
    app = typer.Typer(help="Compute feature rows again from the log, and compare them.", no_args_is_help=True)
    app.command()(backfill)
    app.command()(skew.skew)
    app.command()(skew.join)
    return app


def backfill(
    first: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The first midnight (UTC) of the rows.")],
    last: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last midnight (UTC) of the rows.")],
    ray: Annotated[bool, typer.Option("--ray", help="Spread the partitions over Ray.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="With --ray: how many partitions at once.")] = 2,
    write_online: Annotated[
        bool, typer.Option("--write-online", help="Also write the rows at the log's end into the online store.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Count the whole log again and write the feature rows of each midnight as snapshots for Feast.

    Rows are counted from the log's beginning, by the same functions and in the same order as the stream; a feature
    that is new in this build has its rows afterwards as if it had always been there.

    Example: foryou features backfill --from 2026-01-01 --to 2026-01-08 --write-online
    """
    from features.backfill.tasks import moments_between

    moments = moments_between(_midnight("--from", first), _midnight("--to", last))
    settings = settings_of(home=home)
    with Steps() as steps:
        if settings.backends == "cluster":
            found = _cluster(settings, moments, steps, workers if ray else 0, write_online)
        elif ray:
            raise InputError(
                "An embedded home is one log in one order, which cannot be spread; leave out --ray, or set"
                " FORYOU_BACKENDS=cluster."
            )
        else:
            require_log(settings)
            found = asyncio.run(_home(settings, moments, steps, write_online))
        steps.begin("Feast's definitions")
        from features.feast_repo import apply, online_of

        apply(settings.home, online_of(settings))
    if json:
        show_json(found)
    else:
        _show(settings, found)


def _midnight(option: str, text: str) -> int:
    """The start of a day, Unix ms; InputError when it is no date."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(f"The day {text!r} of {option} is no date; write it as 2026-01-31.") from error
    return int(day.timestamp()) * 1000


def _cluster(settings: "Settings", moments: list[int], steps: Steps, workers: int, online: bool) -> "list[Counted]":
    from functools import partial

    from core.clock import system_clock
    from features.backfill.run import run_here, run_on_ray
    from foryou.cluster import open_sources

    opener, created_us = partial(open_sources, settings, online=online), system_clock() * 1000
    folder = settings.home.absolute()
    if workers:
        run = run_on_ray(opener, folder, created_us, moments, online=online, workers=workers, progress=steps)
    else:
        run = run_here(opener, folder, created_us, moments, online=online, progress=steps)
    return asyncio.run(run)


async def _home(settings: "Settings", moments: list[int], steps: Steps, online: bool) -> "list[Counted]":
    from core.clock import system_clock
    from core.video_table import VideoTable
    from features.backfill.home import HomeReplay, run_home, write_home
    from features.backfill.output import Output
    from features.state import FeatureState
    from foryou.opening import opened_stores

    async with opened_stores(settings, fresh_features=online) as stores:
        await stores.current(steps)
        state, users = FeatureState(VideoTable()), await stores.tables.all_users()
        _give_words(settings, state, users)
        steps.begin("counting the log again")
        output = Output(settings.home, system_clock() * 1000)
        replayed = HomeReplay(state, {user.user_id: user for user in users})
        counted, final = await run_home(stores.log, replayed, output, moments, everything=online)
        if online:
            with stores.transaction():
                await write_home(stores.features, final, counted.offset)
    return [counted]


def _give_words(settings: "Settings", state: "FeatureState", users: "Sequence[ViewerRecord]") -> None:
    """The codes of profiles that the champion was trained with; without one, in the order of the users."""
    from core.errors import NotFound
    from feeds.bundle import restore_words
    from foryou.champion import champion_folder

    try:
        restore_words(champion_folder(settings.bundles), state)
    except NotFound:
        for user in users:
            state.traits.learn(user.traits)


def _show(settings: "Settings", found: "list[Counted]") -> None:
    columns = ("partition", ">offset", ">counted", ">came again", ">of no use", ">rows")
    rows = [(each.task, each.offset, each.counted, each.duplicates, each.unusable, each.rows) for each in found]
    show_table(f"Counted again into {settings.home / 'feast' / 'offline'}", columns, rows)
    if any(each.task.startswith("recount") for each in found):
        note(
            "No stream has counted this log yet (foryou.counts is empty), so counters were counted in the order of the"
            " log's time, then partition, then offset."
        )
