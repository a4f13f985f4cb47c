"""What every command shares: the option --home, settings, and what a home remembers of its logs."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer

from core.errors import ConfigError, CorruptData, NotFound

if TYPE_CHECKING:
    from core.settings import Settings

Stored = TypeVar("Stored")
FACTS_FILE, LOG_FILE = "home.json", "log.db"  # as foryou.stores names it, whose import is slow

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="Folder of everything a run writes (FORYOU_HOME; .foryou).", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]


class HomeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the imports of a home said of its log: the hours by which its days are ahead of UTC."""

    utc_offset_h: float = 0.0


def settings_of(**given: Any) -> "Settings":
    """Settings from the environment, with what the command line gave; ConfigError for a value that is none."""
    from pydantic import ValidationError

    from core.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The setting FORYOU_{name.upper()} is {first['input']!r}: {first['msg'].lower()}."
        ) from error


def command(settings: "Settings", text: str) -> str:
    """A command for this home that can be pasted, such as "foryou feed u12 --home other"."""
    program = shlex.quote(sys.argv[0]) if sys.argv[0].endswith("/foryou") else "foryou"
    usual = settings.home == type(settings).model_fields["home"].default
    return f"{program} {text}" + ("" if usual else f" --home {shlex.quote(str(settings.home))}")


def require_log(settings: "Settings") -> None:
    """NotFound where nothing was ever imported, before any store makes files there; a cluster's log is elsewhere."""
    if settings.backends == "embedded" and not (settings.home / LOG_FILE).is_file():
        raise NotFound(
            f"There is no log in {settings.home}; make one with `foryou world` or `foryou import`, or give --home."
        )


def read_facts(home: Path) -> HomeFacts:
    """What the home remembers; the defaults where it remembers nothing."""
    path = home / FACTS_FILE
    if not path.is_file():
        return HomeFacts()
    return read_json(path, HomeFacts)


def write_facts(home: Path, facts: HomeFacts) -> None:
    """Remember them."""
    write_json(home / FACTS_FILE, facts)


def read_json(path: Path, kind: type[Stored]) -> Stored:
    """A small JSON file that `write_json` wrote; CorruptData when it is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise CorruptData(f"The file {path} cannot be read ({error}); make this home again.") from error


def write_json(path: Path, value: Any) -> None:
    """Replace a small JSON file, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    part.replace(path)
