"""`foryou search`: better training parameters, looked for within bounds."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from foryou.commands.home import HomeOption, JsonOption, command, require_log, settings_of
from foryou.commands.training import SeedOption, ThreadsOption, config_of, load_home, record_of
from foryou.console import Steps, note, show_json, show_table
from foryou.one_training import only_training

if TYPE_CHECKING:
    from core.settings import Settings
    from training.config import TrainConfig
    from training.search import Found

FILE = "search.yaml"


def search(
    trials: Annotated[int, typer.Option(min=1, help="Trials at most, of both parts together.")] = 20,
    minutes: Annotated[float, typer.Option(min=0, help="Minutes; no trial begins that would likely end later.")] = 60,
    over: Annotated[Literal["both", "retrieval", "heads"], typer.Option(help="What is varied.")] = "both",
    rounds: Annotated[int | None, typer.Option(min=1, help="Trees of a head at most.", show_default=False)] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes of the towers at most.", show_default=False)] = None,
    config: Annotated[Path | None, typer.Option(help="Parameters to begin with.", show_default=False)] = None,
    output: Annotated[Path | None, typer.Option(help="File for the best.", show_default="HOME/search.yaml")] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Look for better training parameters on the validation part of HOME's log, and write the best to a file.

    Example: foryou search --trials 30 --minutes 120

    The first trial of each part has the parameters of today; where none is better, the file says so and changes
    nothing. Every trial goes to MLflow, under one run of the search. `foryou train --config FILE` trains with what
    was found.
    """
    settings = settings_of(home=home, threads=threads)
    require_log(settings)
    with Steps() as steps, only_training(settings.home):
        given = config_of(settings, seed, rounds, epochs, None, config)
        found = search_home(settings, given, trials, minutes, over, steps)
    file = output or settings.home / FILE
    _write(file, config, found)
    if json:
        show_json(found.trials)
        return
    _show(found)
    note(f"The best parameters are in {file}. Next: {command(settings, f'train --config {file}')}")


def search_home(
    settings: "Settings", config: "TrainConfig", trials: int, minutes: float, over: str, steps: Steps
) -> "Found":
    """All trials, each recorded as it ends."""
    from core.clock import system_clock
    from training.search import SPACE, Bounds, Ground, search
    from training.search_record import SearchRecord

    uri = record_of(settings)  # before the log is read
    data = asyncio.run(load_home(settings, steps))
    ground = Ground.of(data, config, settings.home / "scratch", steps)
    record = SearchRecord(settings.home, uri, data, config, system_clock)
    bounds = Bounds(trials, system_clock() + int(minutes * 60_000), system_clock)
    parts = tuple(part for part in SPACE if over in ("both", part))
    found = search(ground, bounds, parts, record.add, steps)
    said = record.close(found)
    if said:
        note(said)
    return found


def _write(file: Path, config: Path | None, found: "Found") -> None:
    from training.config_file import merged, read_changes, write_changes

    before = read_changes(config) if config else {}
    scores = {part: trial.score for part in ("retrieval", "heads") if (trial := found.best(part))}
    comment = f"Found by foryou search on the validation part: {scores}"
    write_changes(file, merged(before, found.changes), comment)


def _show(found: "Found") -> None:
    rows = [
        (trial.part, trial.number, trial.score, f"{trial.seconds:.0f}", "*" if trial is found.best(trial.part) else "",
         ", ".join(f"{name} {value:.4g}" for name, value in trial.changes.items()) or "as they are today")
        for trial in found.trials
    ]  # fmt: skip
    title = "Retrieval by recall@100 of the blend, heads by how much lower their losses are than today's"
    show_table(title, ("part", ">trial", ">score", ">seconds", "best", "parameters"), rows)
