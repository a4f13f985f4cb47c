"""The demo: what it is made from, which of its steps are done, and what to try when it is up."""

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from core.errors import ForyouError, InputError
from foryou.commands.home import command, read_json, write_json
from foryou.commands.world import WorldSize, make_world

if TYPE_CHECKING:
    from core.manifest import Manifest
    from core.settings import Settings
    from foryou.console import Steps

MARKS_FILE = "demo.json"
_HISTORY_WANTED = 20  # watches that make a viewer worth looking at
_VIEWERS_LOOKED_AT = 400


class DemoPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The log of the demo: the folder `data`, or a world."""

    data: str = ""
    world: WorldSize | None = None
    stack: bool = False

    def __str__(self) -> str:
        return (self.data or str(self.world)) + (" on the stack" if self.stack else "")


class DemoMarks(msgspec.Struct, kw_only=True):
    """What a home was made from, and the steps that are done."""

    plan: DemoPlan
    done: list[str] = []


def prepare(settings: "Settings", plan: DemoPlan, steps: "Steps") -> "Manifest":
    """Do the steps that are not done yet; the manifest of the bundle to serve."""
    from foryou.commands.importing import import_folder
    from foryou.commands.training import config_of, train_home

    home = settings.home
    marks = make_home(home, plan)

    def once(step: str, work: Callable[[], object]) -> None:
        if step not in marks.done:
            work()
            marks.done.append(step)
            write_json(home / MARKS_FILE, marks)

    def bring_in() -> None:
        if plan.world is not None:
            import_folder(settings, make_world(home, plan.world, steps), None, steps)
        else:
            import_folder(settings, Path(plan.data), 8.0, steps)

    once("import", bring_in)
    manifest = _trained(settings) if "train" in marks.done else None
    if manifest is None:
        manifest = train_home(settings, config_of(settings, 0, None, None, None), steps)
        once("train", lambda: None)
    return manifest


def make_home(home: Path, plan: DemoPlan) -> DemoMarks:
    """Make the home, or find it made; the marks of the home; InputError where it was made from something else."""
    from foryou.stores import LOG_FILE

    path = home / MARKS_FILE
    if path.is_file():
        marks = read_json(path, DemoMarks)
        if marks.plan != plan:
            raise InputError(
                f"The home {home} was made from {marks.plan} and not from {plan}; use another --home, or delete it."
            )
        return marks
    if (home / LOG_FILE).exists():
        raise InputError(f"The home {home} holds a log that the demo did not make; use another --home.")
    if plan.data:
        from foryou.importers.kuairand import FILES
        from foryou.importers.world import require_files

        require_files(Path(plan.data), FILES)
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The home {home} cannot be made ({error.strerror}); choose another --home.") from error
    marks = DemoMarks(plan=plan)
    write_json(path, marks)
    return marks


def _trained(settings: "Settings") -> "Manifest | None":
    """The manifest of a bundle that this build can serve, None where one must be trained."""
    from core.manifest import read_manifest
    from features.definitions import schema_hash
    from foryou.champion import champion_folder

    try:
        return read_manifest(champion_folder(settings.bundles), schema_hash())
    except ForyouError:
        return None


def commands_to_try(settings: "Settings", address: str) -> str:
    """Commands for a second terminal, with a viewer who has a history and a token that works."""
    from foryou.commands.serving import token_of

    viewer, video = asyncio.run(_someone(settings))
    bearer = f"-H 'Authorization: Bearer {token_of(settings, viewer)}'"
    api = f"{address}/api/v1"
    now = "'$(date +%s)'"
    servers = (
        f'\n  eval "$({command(settings, "stack up")})"     # where the servers are\n'
        if settings.backends == "cluster"
        else ""
    )
    like = f'{{"kind":"like","event_id":"try-{now}","video_id":"{video}","time_ms":{now}000}}'
    return f"""
Try, in a second terminal (the token is {viewer}'s and lasts a day):
{servers}
  curl -s {bearer} '{api}/feed/for-you?limit=5'

  {command(settings, f"feed {shlex.quote(viewer)}")}
      then `{command(settings, "explain SLATE")}` with the slate that it shows

  curl -s {bearer} -d '{{"events":[{like}]}}' {api}/events
"""


async def _someone(settings: "Settings") -> tuple[str, str]:
    """A viewer who has watched something, and a video."""
    from features.layout import VIEWER_DTYPE
    from features.packed import record_of
    from foryou.opening import opened_stores

    async with opened_stores(settings) as stores:
        ids = [user.user_id for user in (await stores.tables.all_users())[:_VIEWERS_LOOKED_AT]]
        rows = await stores.features.read("viewer", ids)
        lengths = [int(record_of(raw, VIEWER_DTYPE)["history_len"][0]) if raw else 0 for raw in rows]
        enough = next((at for at, length in enumerate(lengths) if length >= _HISTORY_WANTED), None)
        at = lengths.index(max(lengths)) if enough is None else enough
        return ids[at], (await stores.history.seen(ids[at]))[-1]
