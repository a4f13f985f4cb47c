"""`foryou world`: a synthetic world in the home, and its history on the log."""

import asyncio
import shutil
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from core.errors import InputError
from foryou.commands.home import HomeOption, JsonOption, read_json, settings_of, write_json
from foryou.console import Steps

SIZE_FILE = "size.json"


class WorldSize(msgspec.Struct, frozen=True, kw_only=True):
    """What a world is drawn from; equal sizes give equal worlds."""

    viewers: int
    videos: int
    impressions: int
    days: int = 14
    seed: int = 0
    law: str = "plain"

    def __str__(self) -> str:
        return (
            f"a world of {self.viewers:,} viewers, {self.videos:,} videos and {self.impressions:,} impressions"
            f" ({self.days} days, seed {self.seed}, law {self.law})"
        )


def world(
    viewers: Annotated[int, typer.Option(min=50, help="Viewers at the start.")] = 3_000,
    videos: Annotated[int, typer.Option(min=100, help="Videos at the start.")] = 12_000,
    impressions: Annotated[int, typer.Option(min=1_000, help="Impressions of the whole history.")] = 200_000,
    days: Annotated[int, typer.Option(min=5, help="Days of history.")] = 14,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal worlds.")] = 0,
    law: Annotated[str, typer.Option(help="plain, misspecified, drifting or shifting.")] = "plain",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Build a synthetic world with known preferences in HOME/world and import its history.

    Example: foryou world --viewers 1000 --videos 4000 --impressions 80000
    """
    from foryou.commands.importing import import_folder, tell
    from foryou.opening import require_servers

    settings = settings_of(home=home)
    size = WorldSize(viewers=viewers, videos=videos, impressions=impressions, days=days, seed=seed, law=law)
    with Steps() as steps:
        asyncio.run(require_servers(settings))
        folder = make_world(settings.home, size, steps)
        report = import_folder(settings, folder, None, steps)
    tell(settings, report, json)


def make_world(home: Path, size: WorldSize, steps: Steps) -> Path:
    """The folder HOME/world with the history of such a world; reused where it is there.

    Raises InputError where it holds something else, or the law is unknown.
    """
    from simulation.log_files import write_history
    from simulation.world import World

    folder, part = home / "world", home / "world.part"
    if (folder / SIZE_FILE).is_file():
        found = read_json(folder / SIZE_FILE, WorldSize)
        if found != size:
            raise InputError(f"The home {home} holds {found}; for another use another --home, or delete it.")
        return folder
    if folder.exists():
        raise InputError(f"The folder {folder} is not a world that this command made; use another --home.")
    known_law(size.law)
    shutil.rmtree(part, ignore_errors=True)
    steps.begin("building the world")
    world = World.build(size.seed, size.viewers, size.videos, size.law, size.days)
    write_history(world, part, size.impressions, lambda done, total: steps("living its history", done, total))
    write_json(part / SIZE_FILE, size)
    part.replace(folder)
    return folder


def known_law(law: str) -> str:
    """The name of a law; InputError for another."""
    from simulation.law import law_named

    try:
        return law_named(law).name
    except ValueError as error:
        raise InputError(f"There is no law {law!r}; choose plain, misspecified, drifting or shifting.") from error
