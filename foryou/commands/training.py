"""`foryou train`."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import InputError, NothingNew, Unavailable
from foryou.commands.home import HomeOption, JsonOption, command, read_facts, require_log, settings_of
from foryou.commands.increments import continue_or_train, watched, watched_parent
from foryou.commands.schedule import period_s, train_every
from foryou.console import Steps, note, show_json, show_table
from foryou.one_training import only_training

if TYPE_CHECKING:
    from core.manifest import Manifest
    from core.settings import Settings
    from features.words import Words
    from training.config import TrainConfig
    from training.log_data import LogData
    from training.parent import Parent

SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
RoundsOption = Annotated[int | None, typer.Option(min=1, help="Trees of a head at most.", show_default=False)]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads (FORYOU_THREADS; 2).", show_default=False)]
EpochsOption = Annotated[int | None, typer.Option(min=1, help="Passes of the towers at most.", show_default=False)]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="YAML of training parameters.", show_default=False)]
OffsetOption = Annotated[
    float | None,
    typer.Option(min=-14, max=14, help="Hours by which the log's days are ahead of UTC.", show_default="the import's"),
]


def train(
    seed: SeedOption = 0,
    rounds: RoundsOption = None,
    epochs: EpochsOption = None,
    threads: ThreadsOption = None,
    utc_offset: OffsetOption = None,
    config: ConfigOption = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that train the towers, on Ray above 1.", show_default=False)
    ] = None,
    logged: Annotated[bool, typer.Option("--logged", help="Fit the heads on rows that serving logged.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Serve the bundle even where the gates refuse it.")] = False,
    upload: Annotated[bool, typer.Option("--upload", help="Send kept runs to MLflow; train nothing.")] = False,
    incremental: Annotated[
        bool, typer.Option("--incremental", help="Continue the served bundle on what is new.")
    ] = False,
    every: Annotated[
        str | None, typer.Option(help="With --incremental: again and again, such as 30m, 1h or 1d.", show_default=False)
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Train a bundle on the whole log of HOME and make it the one that is served.

    Example: foryou train --seed 1 --rounds 300

    With --logged the heads learn from slates joined with feedback (`foryou features join`, which is run first) where
    there are enough of them, and else, as without it, from rows computed again from the log. A bundle that is worse
    than the one that is served is kept and not served: the command says why and exits with 1.

    The parameters of --config FILE (which `foryou search` writes) replace the defaults, and options both. A run that is
    killed goes on where it was when the same command is given again. With --workers N the towers are trained by N
    processes on Ray, with the same examples in every step.

    With --incremental the served bundle learns on from what came after it, at a fraction of the cost; where there is
    too little, it says so and changes nothing. Drift is looked for first, and warned of. With --every this goes on
    until SIGTERM or Ctrl-C; a run that fails is tried again.
    """
    settings = settings_of(home=home, threads=threads)
    require_log(settings)
    if upload:
        upload_kept(settings, json)
        return
    if logged and incremental:
        raise InputError("An increment learns from the log itself; leave out --logged, or --incremental.")
    if every is not None:
        if not incremental:
            raise InputError("A period is for increments; give --incremental with --every.")
        again = train_arguments(settings, seed, rounds, epochs, utc_offset, force, json)
        again += ["--config", str(config.absolute())] if config else []
        asyncio.run(train_every(again, period_s(every), note))
        return
    with Steps() as steps:
        given = config_of(settings, seed, rounds, epochs, utc_offset, config, workers)
        try:
            manifest = train_home(settings, given, steps, logged, force, incremental)
        except NothingNew as error:
            note(error.sentence)
            return served(settings, json)
    if json:
        show_json(manifest)
        return
    show_figures(manifest)
    note(f"Bundle {manifest.bundle_id} is in {settings.bundles}. Next: {command(settings, 'serve')}")


def config_of(
    settings: "Settings",
    seed: int,
    rounds: int | None,
    epochs: int | None,
    utc_offset_h: float | None,
    file: Path | None = None,
    workers: int | None = None,
) -> "TrainConfig":
    """The training configuration: what was given, then what the file names, the home's calendar, and defaults for the
    rest."""
    from training.config import TrainConfig
    from training.config_file import changed, nested, read_changes

    offset_h = read_facts(settings.home).utc_offset_h if utc_offset_h is None else utc_offset_h
    given = {"rounds": rounds, "towers.epochs": epochs, "workers": workers}
    config = changed(TrainConfig(), read_changes(file) if file else {})
    own = {"seed": seed, "threads": settings.threads, "utc_offset_h": offset_h}
    return changed(config, own | nested({name: value for name, value in given.items() if value is not None}))


def served(settings: "Settings", json: bool) -> None:
    """What a run that changed nothing gives: with --json the bundle that is served as before."""
    from core.manifest import CHAMPION, read_manifest

    if json:
        show_json(read_manifest(settings.bundles / (settings.bundles / CHAMPION).read_text().strip()))


def train_arguments(
    settings: "Settings",
    seed: int,
    rounds: int | None,
    epochs: int | None,
    utc_offset: float | None,
    force: bool,
    json: bool,
) -> list[str]:
    """The words of a command that continues the bundle of this home once, with these options."""
    words = ["train", "--incremental", "--home", str(settings.home), "--threads", str(settings.threads)]
    given = {"--seed": seed, "--rounds": rounds, "--epochs": epochs, "--utc-offset": utc_offset}
    words += [word for name, value in given.items() if value is not None for word in (name, str(value))]
    return words + [name for name, on in (("--force", force), ("--json", json)) if on]


def train_home(
    settings: "Settings",
    config: "TrainConfig",
    steps: Steps,
    logged: bool = False,
    force: bool = False,
    incremental: bool = False,
) -> "Manifest":
    """Catch up with the log, train on it (heads on `logged` rows, or `incremental`, from the served bundle), and write
    the feature state that serving starts from."""
    with only_training(settings.home):
        return _train_home(settings, config, steps, logged, force, incremental)


def _train_home(
    settings: "Settings", config: "TrainConfig", steps: Steps, logged: bool, force: bool, incremental: bool
) -> "Manifest":
    from core.clock import system_clock

    parent, drift = watched_parent(settings, steps, note) if incremental else (None, None)
    _quieten()
    # No connection is held while the models are fitted: that takes minutes, in which the loop stands still.
    data, rows = asyncio.run(_read(settings, config, steps, logged, parent))
    from training.pipeline import train as train_bundle  # takes long; what is wrong with the stores was told before
    from training.publication import Publication

    how = Publication(settings.mlflow, force, note, recorded=settings.mlflow != "off")
    if parent is not None:
        manifest = continue_or_train(data, parent, settings, config, system_clock(), steps, watched(how, drift))
    else:
        manifest, _ = train_bundle(data, config, settings.home, system_clock(), steps, rows, how)
    if settings.backends == "embedded":
        asyncio.run(_keep_state(settings, data, steps))
    return manifest


async def _read(
    settings: "Settings", config: "TrainConfig", steps: Steps, logged: bool, parent: "Parent | None"
) -> "tuple[LogData, Any]":
    """The log, in the words of the parent where there is one, and the rows that serving logged where they are asked
    for."""
    from foryou.commands.skew import joined_rows
    from foryou.opening import opened_stores

    async with opened_stores(settings, fresh_features=True) as stores:
        await stores.current(steps)
        if parent is not None:
            parent.require_new(await stores.log.end())
        data = await _load(stores, settings.home, steps, parent.words if parent else None)
        return data, await joined_rows(settings, data, config, steps) if logged else None


def record_of(settings: "Settings") -> str:
    """MLflow's address for a command that is nothing without it; InputError where records are off."""
    if settings.mlflow == "off":
        raise InputError("FORYOU_MLFLOW is off and this command needs a record; leave it out, or name a server.")
    return settings.mlflow


def upload_kept(settings: "Settings", json: bool) -> None:
    """Send what earlier runs kept; Unavailable where MLflow still does not take it."""
    from training.tracking import Tracker

    _quieten()
    uploaded = Tracker(settings.home, record_of(settings)).upload()
    if json:
        show_json(uploaded)
    if uploaded.waiting:
        raise Unavailable(uploaded.sentence)
    if not json:
        note(f"Sent {len(uploaded.sent)} kept runs to MLflow." if uploaded.sent else "No run was kept.")


def _quieten() -> None:
    for chatty in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


async def _keep_state(settings: "Settings", data: "LogData", steps: Steps) -> None:
    """The feature state that serving starts from; on a cluster it is the stream's."""
    from core.clock import system_clock
    from features.feast_repo import publish
    from foryou.opening import opened_stores

    steps.begin("feature state")
    packed = data.driver.packed(system_clock() * 1000)
    async with opened_stores(settings) as stores:
        await stores.features.write(packed, data.applied_offset)
    steps.begin("feature snapshot for Feast")
    publish(settings.home, packed, int(data.events.time_ms.max()), system_clock())


async def load_home(settings: "Settings", steps: Steps) -> "LogData":
    """The log of the home, which is brought up to date first."""
    from foryou.opening import opened_stores

    async with opened_stores(settings, fresh_features=True) as stores:
        await stores.current(steps)
        return await _load(stores, settings.home, steps)


async def _load(stores: Any, home: Path, steps: Steps, words: "Words | None" = None) -> "LogData":
    from core.room import Room
    from training.log_data import load_log

    if await stores.log.end() == 0:
        raise InputError(f"The log in {home} is empty; put events on it with `foryou world` or `foryou import`.")
    steps.begin("reading the log")
    data = await load_log(stores.log, stores.videos, stores.tables, words, Room(home / "scratch"))
    if not (data.events.surface > 0).any():
        raise InputError(f"The log in {home} has no impressions, and models learn from those; import a log of them.")
    return data


def show_figures(manifest: "Manifest") -> None:
    """The figures of a bundle on its validation part."""
    metrics = manifest.metrics
    names = ("auc", "logloss", "ece", "mae")
    rows = [
        (head, *(metrics.get(f"validation/{head}/{name}", "") for name in names))
        for head in manifest.heads
        if any(f"validation/{head}/{name}" in metrics for name in names)
    ]
    count = int(metrics.get("validation/rows", 0))
    title = f"Bundle {manifest.bundle_id}: each head on the newest {count:,} of {manifest.impressions:,} impressions"
    show_table(title, ("head", ">AUC", ">log loss", ">calibration error", ">mean abs. error"), rows)
    recall = metrics.get("validation/recall_at_100")
    if recall is not None and recall == recall:
        note(f"Two towers: recall@100 of unseen long views {recall:.4f} on the last day before the heads' window.")
    for text in manifest.notes:
        note(f"Left out: {text}")
