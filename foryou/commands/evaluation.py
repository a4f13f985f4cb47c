"""`foryou evaluate`: a held-out day of the log, or worlds whose preferences are known."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InputError
from foryou.commands.home import HomeOption, JsonOption, require_log, settings_of
from foryou.commands.training import (
    EpochsOption,
    OffsetOption,
    RoundsOption,
    SeedOption,
    ThreadsOption,
    config_of,
    load_home,
)
from foryou.console import Steps, note, show_json, show_table

if TYPE_CHECKING:
    from core.settings import Settings
    from foryou.world_evaluation import WorldReport, Worlds
    from training.config import TrainConfig
    from training.evaluate import Compared, EvaluationReport
    from training.log_data import LogData


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
    days: Annotated[int, typer.Option(min=1, help="With --world: days judged.")] = 7,
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
    if world:
        from foryou.commands.world import known_law
        from foryou.world_evaluation import Worlds

        worlds = Worlds(
            law=known_law(law),
            users=users,
            videos=videos,
            impressions=impressions,
            seeds=range(seed, seed + seeds),
            viewers=viewers,
            days=days,
        )
        with Steps() as steps:
            config = config_of(settings, seed, rounds, epochs, utc_offset or 0.0)  # its days are UTC's
            judged = _judged(settings, worlds, config, steps, incremental, arms)
        show_json(judged) if json else _show_world(judged)
        return
    day = _day(test_day)
    require_log(settings)
    with Steps() as steps:
        report = evaluate_home(settings, config_of(settings, seed, rounds, epochs, utc_offset), day, steps)
    show_json(report) if json else _show_report(report)


def _judged(
    settings: "Settings", worlds: "Worlds", config: "TrainConfig", steps: Steps, incremental: bool, arms: bool
) -> "WorldReport":
    from foryou.world_arms import ARMS
    from foryou.world_evaluation import evaluate_world

    chosen = tuple(ARMS) if arms else ()
    return evaluate_world(settings.home / "worlds", worlds, config, steps, incremental=incremental, arms=chosen)


def evaluate_home(
    settings: "Settings", config: "TrainConfig", test_day: int | None, steps: Steps
) -> "EvaluationReport":
    """Fit without the test day (days since 1970, the log's last where None) and score it."""
    from training.evaluate import evaluate as evaluate_day

    data = asyncio.run(load_home(settings, steps))
    if test_day is None:
        test_day = _last_full_day(data, config.utc_offset_h)
    return evaluate_day(data, config, settings.home / "scratch", test_day, steps)


def _last_full_day(data: "LogData", utc_offset_h: float) -> int:
    """The last day with at least a fifth of the impressions of a usual one; a log often ends in a sliver of a day."""
    import numpy as np

    from training.split import day_of

    days, counts = np.unique(day_of(data.events.time_ms[data.events.surface > 0], utc_offset_h), return_counts=True)
    return int(days[counts >= np.median(counts) / 5][-1])


def _day(text: str | None) -> int | None:
    """Days since 1970; InputError when it is no date."""
    from datetime import date

    if text is None:
        return None
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days
    except ValueError as error:
        raise InputError(f"The test day {text!r} is no date; write it as 2022-04-30.") from error


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
    show_table(
        f"Worlds of law {report.law}: {report.users:,} viewers, {report.videos:,} videos, {report.impressions:,}"
        f" impressions; {report.viewers:,} judged for {report.days} days",
        ("", *(f">seed {seed['seed']}" for seed in seeds)),
        [(name.replace("_", " "), *(seed[name] for seed in seeds)) for name in seeds[0] if name != "seed"],
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
