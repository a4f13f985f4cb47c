"""`foryou drift`: whether what is served is still like what the served bundle learned from."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InputError, NotFound
from foryou.commands.home import HomeOption, JsonOption, require_log, settings_of
from foryou.commands.skew import newest_slates, served_log
from foryou.console import Steps, note, show_json, show_table

if TYPE_CHECKING:
    from core.settings import Settings
    from features.logged import LoggedSlate
    from training.drift import DriftReport

_SHOWN = 15


def drift(
    slates: Annotated[int, typer.Option(min=1, help="Newest slates to look at.")] = 2_000,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Compare features and predictions of HOME's newest slates with the training window of the bundle that is served.

    Example: foryou drift --slates 5000

    Of the newest slates those count that this bundle served. Exits with 1 where a feature or a head moved further than
    the alert bounds.
    """
    settings = settings_of(home=home)
    require_log(settings)
    with Steps() as steps:
        steps.begin("reading the slates")
        report = drift_of_home(settings, asyncio.run(newest_served(settings, slates)))
    if json:
        show_json(report)
    else:
        _show(report)
    if report.alerts:
        raise typer.Exit(1)


async def newest_served(settings: "Settings", newest: int) -> "list[LoggedSlate]":
    """The newest slates that were served."""
    async with served_log(settings) as served:
        return (await newest_slates(served.slates, newest))[0]


def drift_of_home(settings: "Settings", logged: "list[LoggedSlate]") -> "DriftReport":
    """The champion's slates among these beside its window; InputError where they are too few."""
    import numpy as np

    from core.manifest import CHAMPION, read_manifest
    from features.definitions import schema_hash
    from feeds.bundle import RANKER_NAMES
    from ranking.ranker import Ranker
    from training.drift import DriftConfig, DriftReport, Window, compare

    crown, config = settings.bundles / CHAMPION, DriftConfig()
    if not crown.is_file():
        raise NotFound(f"No bundle is served from {settings.home}; run `foryou train` first.")
    folder = settings.bundles / crown.read_text().strip()
    manifest = read_manifest(folder, schema_hash())
    own = [one for one in logged if one.slate.bundle_id == manifest.bundle_id]
    if len(own) < config.min_slates:
        raise InputError(
            f"Bundle {manifest.bundle_id} served {len(own)} of the newest {len(logged)} slates and {config.min_slates}"
            " are the fewest that say anything; serve more, or look at more with --slates."
        )
    rows = np.concatenate([one.features for one in own])
    moved = compare(Window.read(folder), Ranker.load(folder, RANKER_NAMES), rows, len(own), config)
    alerts = tuple(one.name for one in moved if one.alert)
    return DriftReport(bundle=manifest.bundle_id, slates=len(own), rows=len(rows), alerts=alerts, moved=moved)


def _show(report: "DriftReport") -> None:
    shown = report.moved[: max(_SHOWN, len(report.alerts))]
    rows = [(m.kind, m.name, m.psi, m.psi_bound, m.ks, m.ks_bound, "alert" if m.alert else "") for m in shown]
    title = f"{report.rows:,} rows of {report.slates:,} slates beside the training window of {report.bundle}"
    show_table(title, ("", "name", ">PSI", ">bound", ">KS", ">bound", ""), rows)
    note(f"{len(report.alerts)} of {len(report.moved)} moved further than the bounds.")
