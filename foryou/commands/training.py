"""`foryou train` and `foryou evaluate`."""

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
    from foryou.world_evaluation import WorldReport
    from training.config import TrainConfig
    from training.evaluate import Compared, EvaluationReport
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


def evaluate(
    test_day: Annotated[str | None, typer.Option(help="YYYY-MM-DD.", show_default="the log's last whole day")] = None,
    seed: SeedOption = 0,
    rounds: RoundsOption = None,
    epochs: EpochsOption = None,
    threads: ThreadsOption = None,
    utc_offset: OffsetOption = None,
    world: Annotated[bool, typer.Option("--world", help="Judge the product in synthetic worlds instead.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="With --world: how many worlds.")] = 3,
    viewers: Annotated[int, typer.Option(min=1, help="With --world: viewers judged in each.")] = 150,
    days: Annotated[int, typer.Option(min=1, help="With --world: days judged.")] = 3,
    users: Annotated[int, typer.Option(min=50, help="With --world: viewers of a world.")] = 3_000,
    videos: Annotated[int, typer.Option(min=100, help="With --world: videos of a world.")] = 12_000,
    impressions: Annotated[int, typer.Option(min=1_000, help="With --world: impressions of its history.")] = 200_000,
    law: Annotated[str, typer.Option(help="With --world: plain, misspecified, drifting or shifting.")] = "plain",
    incremental: Annotated[
        bool, typer.Option("--incremental", help="With --world: the product learns on at the end of each day.")
    ] = False,
    arms: Annotated[bool, typer.Option("--arms", help="With --world: judge parts of the product beside it.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Train without one day of the log and score that day, beside popularity and item-to-item.

    Example: foryou evaluate --test-day 2022-04-30 --json

    With --world nothing of the log is used: worlds with known preferences are built, the product is trained and
    serves their viewers, and its reward is placed between popularity (0) and an oracle (1).
    """
    settings = settings_of(home=home, threads=threads)
    day = _day(test_day)
    if not world:
        require_log(settings)
    with Steps() as steps:
        if world:
            from foryou.commands.world import known_law
            from foryou.world_arms import ARMS
            from foryou.world_evaluation import evaluate_world

            numbers = range(seed, seed + seeds)
            judged = evaluate_world(
                settings.home / "worlds",
                users=users,
                videos=videos,
                impressions=impressions,
                seeds=numbers,
                viewers=viewers,
                days=days,
                law=known_law(law),
                incremental=incremental,
                arms=tuple(ARMS) if arms else (),
                progress=steps,
            )
        else:
            config = config_of(settings, seed, rounds, epochs, utc_offset)
            report = evaluate_home(settings, config, day, steps)
    if json:
        show_json(judged if world else report)
    elif world:
        _show_world(judged)
    else:
        _show_report(report)


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


def evaluate_home(
    settings: "Settings", config: "TrainConfig", test_day: int | None, steps: Steps
) -> "EvaluationReport":
    """Fit without the test day (days since 1970, the log's last where None) and score it."""
    from training.evaluate import evaluate as evaluate_day

    data = asyncio.run(load_home(settings, steps))
    if test_day is None:
        test_day = _last_full_day(data, config.utc_offset_h)
    return evaluate_day(data, config, settings.home / "scratch", test_day, steps)


async def load_home(settings: "Settings", steps: Steps) -> "LogData":
    """The log of the home, which is brought up to date first."""
    from foryou.opening import opened_stores

    async with opened_stores(settings, fresh_features=True) as stores:
        await stores.current(steps)
        return await _load(stores, settings.home, steps)


def _last_full_day(data: "LogData", utc_offset_h: float) -> int:
    """The last day with at least a fifth of the impressions of a usual one; a log often ends in a sliver of a day."""
    import numpy as np

    from training.split import day_of

    days, counts = np.unique(day_of(data.events.time_ms[data.events.surface > 0], utc_offset_h), return_counts=True)
    return int(days[counts >= np.median(counts) / 5][-1])


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


def _day(text: str | None) -> int | None:
    """Days since 1970; InputError when it is no date."""
    from datetime import date

    if text is None:
        return None
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError as error:
        raise InputError(f"The test day {text!r} is no date; write it as 2022-04-30.") from error


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


def _show_report(report: "EvaluationReport") -> None:
    def cells(compared: "Compared") -> tuple[object, object]:
        interval = f"{compared.better:+.4f} [{compared.low:+.4f}, {compared.high:+.4f}]"
        return compared.baseline, interval + (" *" if compared.beats else "")

    rows = [
        (head.head, head.metric, head.positives, head.popularity.ours, *cells(head.popularity),
         *cells(head.item_to_item))
        for head in report.heads
    ]  # fmt: skip
    head_columns = (
        "head", "metric", ">positives", ">ours", ">popularity", ">gain [95%]", ">item-to-item", ">gain [95%]",
    )  # fmt: skip
    title = f"{report.test_day}: {report.test_rows:,} impressions of {report.viewers:,} viewers (* beyond chance)"
    show_table(title, head_columns, rows)
    _show_figures(report)
    found = report.retrieval
    sources = [
        (s.source, s.recall_at_20, s.recall_at_100, s.recall_at_500, s.ndcg_at_20, found.weights.get(s.source, ""))
        for s in found.sources
    ]
    columns = ("source", ">recall@20", ">recall@100", ">recall@500", ">NDCG@20", ">weight in the blend")
    show_table(f"Retrieval of unseen long views, {found.viewers:,} viewers, whole catalogue", columns, sources)
    show_table(
        "What the first 20 videos of each source are like",
        ("source", ">share of the catalogue", ">novelty, bits", ">Gini of creators"),
        [(each.source, each.coverage, each.novelty, each.creator_gini) for each in found.lists],
    )
    note(f"The blend gains {found.gain:+.4f} [{found.low:+.4f}, {found.high:+.4f}] recall@100 over item-to-item.")
    for head, reason in report.skipped.items():
        note(f"Left out: head {head}: {reason}")


def _show_figures(report: "EvaluationReport") -> None:
    columns = ("auc", "gauc_frozen", "logloss", "ece", "ece_floor", "ece_floor_95", "mae", "rmse", "xauc",
               "debiased_gauc_frozen")  # fmt: skip
    show_table(
        "Every metric of each head (frozen: with the viewer's state as the day began)",
        ("head", *(f">{name.replace('_', ' ')}" for name in columns)),
        [(head.head, *(head.figures.get(name, "") for name in columns)) for head in report.heads],
    )
    if report.segments:
        show_table(
            "Long views and watch time by segment",
            ("segment", ">rows", ">viewers", ">long views", ">auc", ">logloss", ">ece", ">mae s"),
            [(s.segment, s.rows, s.viewers, s.rate, s.auc, s.logloss, s.ece, s.mae) for s in report.segments],
        )


def _show_world(report: "WorldReport") -> None:
    import msgspec

    seeds = [msgspec.to_builtins(seed) for seed in report.seeds]
    names = list(seeds[0]) if seeds else []
    show_table(
        f"Worlds of law {report.law}: {report.users:,} viewers, {report.videos:,} videos, {report.impressions:,}"
        f" impressions; {report.viewers:,} judged for {report.days} days",
        [f">{name.replace('_', ' ')}" for name in names],
        [[seed[name] for name in names] for seed in seeds],
    )
    print(
        f"gap closed {report.gap_closed:.4f} [{report.low:.4f}, {report.high:.4f}]; reward a view: popularity"
        f" {report.popularity:.4f}, the product {report.policy:.4f}, oracle {report.oracle:.4f}"
    )
    print("gap closed by day: " + ", ".join(f"{gap:.4f}" for gap in report.daily))
    if report.arms:
        arms = [msgspec.to_builtins(arm) for arm in report.arms]
        columns = [f">{name.replace('_', ' ')}" for name in list(arms[0])[1:]]
        show_table("The product, parts of it, and what it is judged between", ("arm", *columns),
                   [tuple(arm.values()) for arm in arms])  # fmt: skip
