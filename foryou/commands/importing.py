"""`foryou import`: a log comes into the home."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from foryou.commands.home import HomeFacts, HomeOption, JsonOption, command, settings_of, write_facts
from foryou.console import Steps, note, show_json

if TYPE_CHECKING:
    from core.settings import Settings
    from foryou.importers import ImportReport, ImportStores, OnProgress

    Importer = Callable[[ImportStores, OnProgress], Awaitable[ImportReport]]


def group() -> typer.Typer:
    """The commands under `foryou import`."""
    app = typer.Typer(help="Put the log of another system on the event log.", no_args_is_help=True)
    app.command()(kuairand)
    app.command()(events)
    return app


def kuairand(
    path: Annotated[Path, typer.Argument(help="Folder of the KuaiRand-Pure slice (four Parquet files).")],
    utc_offset: Annotated[float, typer.Option(help="Hours by which the log's days are ahead of UTC.")] = 8.0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Import the KuaiRand-Pure slice: videos, users, histories and impressions.

    Example: foryou import kuairand ../shared/data/kuairand-pure --home .kuairand
    """
    settings = settings_of(home=home)
    with Steps() as steps:
        report = import_folder(settings, path, utc_offset, steps)
    tell(settings, report, json)


def events(
    file: Annotated[Path, typer.Argument(help="A CSV, TSV, Parquet or JSON Lines log, one impression a row.")],
    mapping: Annotated[Path, typer.Option("--map", help="YAML file that names the log's columns.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Import any log through a mapping of its columns (docs/importing.md shows how to write one).

    Example: foryou import events examples/clips_log.csv --map examples/clips_mapping.yaml
    """
    from foryou.importers import import_events
    from foryou.importers.mapping import read_mapping

    settings = settings_of(home=home)
    offset_h = read_mapping(mapping).utc_offset_h
    with Steps() as steps:
        report = run_import(settings, lambda to, told: import_events(file, mapping, to, told), offset_h, steps)
    tell(settings, report, json)


def import_folder(settings: "Settings", folder: Path, utc_offset_h: float | None, steps: Steps) -> "ImportReport":
    """Import a world, or with `utc_offset_h` the KuaiRand slice."""
    from foryou.importers import import_kuairand, import_world

    if utc_offset_h is None:
        return run_import(settings, lambda to, told: import_world(folder, to, told), 0.0, steps)
    offset_h = utc_offset_h
    return run_import(settings, lambda to, told: import_kuairand(folder, to, told, offset_h), offset_h, steps)


def run_import(settings: "Settings", importer: "Importer", utc_offset_h: float, steps: Steps) -> "ImportReport":
    """Open the stores, run the importer, remember the log's calendar."""
    from core.clock import system_clock
    from foryou.importers import ImportStores
    from foryou.opening import opened_stores

    async def run() -> "ImportReport":
        async with opened_stores(settings, fresh_features=True) as stores:
            to = ImportStores(stores.imports or stores.log, stores.tables, settings.home, system_clock)
            report = await importer(to, lambda p: steps(f"import {p.file}", p.rows, p.total))
            await stores.imported(steps)
            return report

    report = asyncio.run(run())
    write_facts(settings.home, HomeFacts(utc_offset_h=utc_offset_h))
    return report


def tell(settings: "Settings", report: "ImportReport", json: bool) -> None:
    """What an import did."""
    if json:
        show_json(report.to_dict())
        return
    rejected = sum(report.rejected.values())
    note(
        f"{report.rows:,} rows gave {report.events:,} new events; {report.videos:,} videos, {report.users:,} users;"
        f" {report.duplicates:,} duplicates, {report.known:,} known before, {rejected:,} rejected."
    )
    for reason, count in report.rejected.most_common():
        note(f"  rejected {count:,}: {reason}")
    for path in report.reject_files:
        note(f"  rejected rows of {report.source}: {path}")
    note(f"Next: {command(settings, 'train')}")
