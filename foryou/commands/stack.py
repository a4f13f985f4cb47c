"""`foryou stack`: real servers on this machine, for development and tests."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import ConfigError, InputError, NotFound
from foryou.commands.home import HomeOption, JsonOption, command, settings_of
from foryou.console import note, show_json, show_table

if TYPE_CHECKING:
    from core.settings import Settings
    from deploy.stack import Stack

FOLDER = "stack"
_POLL_S = 0.3

NamesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[kafka|cassandra|redis|postgres]...", help="Which servers; all without.", show_default=False
    ),
]


def group() -> typer.Typer:
    """The commands of the stack."""
    app = typer.Typer(
        help="Run Kafka, Cassandra, Redis and PostgreSQL on this machine, without containers.", no_args_is_help=True
    )
    app.command()(up)
    app.command()(init)
    app.command()(down)
    app.command()(status)
    app.command()(logs)
    return app


def up(
    names: NamesArgument = None,
    port: Annotated[
        list[str] | None,
        typer.Option(
            "--port", help="A port that must be used, such as kafka=9092; else free ones.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Start servers, wait until they answer and print the settings that make the product use them.

    Example: eval "$(foryou stack up)"
    """
    from deploy.stack import NAMES, SETTINGS_FILE

    settings = settings_of(home=home)
    stack = _stack(settings)
    addresses = stack.up(names or NAMES, dict(_port(text) for text in port or ()))
    print(addresses.exports(), end="", flush=True)
    note(
        f"These lines are also in {stack.folder / SETTINGS_FILE}; `{command(settings, 'stack down')}` ends the servers."
    )


def down(
    names: NamesArgument = None,
    delete_data: Annotated[bool, typer.Option("--delete-data", help="Also delete what all of them kept.")] = False,
    home: HomeOption = None,
) -> None:
    """Stop servers; their data stay and the next `up` finds them.

    Example: foryou stack down kafka
    """
    from deploy.stack import NAMES

    if delete_data and names:
        raise InputError("The option --delete-data is for the whole stack; leave out the names of servers.")
    stack = _stack(settings_of(home=home))
    ended = stack.down(names or NAMES)
    note(f"Stopped {', '.join(ended)}." if ended else f"Nothing ran in {stack.folder}.")
    if delete_data:
        stack.remove()
        note("Deleted what they kept.")


def status(home: HomeOption = None, json: JsonOption = False) -> None:
    """Show how each server is: its address, its memory, how long it took until it answered.

    Example: foryou stack status --json
    """
    stack = _stack(settings_of(home=home))
    servers = stack.status()
    if json:
        show_json(servers)
        return
    rows = [
        (s.server, s.state, s.address, str(s.pid or ""), f"{s.rss_mib:.0f}" if s.pid else "",
         f"{s.ready_s:.1f}" if s.ready_s else "", s.data)
        for s in servers
    ]  # fmt: skip
    columns = ("server", "state", "address", ">process", ">RSS MiB", ">ready after s", "data")
    show_table(f"The stack in {stack.folder}", columns, rows)
    note(f"Together {sum(s.rss_mib for s in servers):,.0f} MiB.")


def logs(
    name: Annotated[str | None, typer.Argument(help="One server; all without.", show_default=False)] = None,
    lines: Annotated[int, typer.Option("-n", min=0, help="Last lines of each.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is added, until Ctrl-C.")] = False,
    home: HomeOption = None,
) -> None:
    """Print the last lines that servers said.

    Example: foryou stack logs cassandra -f
    """
    from deploy.files import last_lines
    from deploy.stack import NAMES

    stack = _stack(settings_of(home=home))
    found = {each: stack.log(each) for each in ([name] if name else NAMES)}
    found = {each: path for each, path in found.items() if path.is_file()}
    if not found:
        raise NotFound(
            f"There is no log of {name or 'any server'} in {stack.folder}; start one with `foryou stack up`."
        )
    ends = {each: path.stat().st_size for each, path in found.items()}
    for each, path in found.items():
        for line in last_lines(path, lines):
            print(line if name else f"{each:9s} {line}")
    if follow:
        for each, line in _followed(found, ends):
            print(line if name else f"{each:9s} {line}", flush=True)


def _followed(paths: dict[str, Path], ends: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Lines as they are added, with whose they are; a log that became shorter is a new one."""
    while True:
        for each, path in paths.items():
            if not path.is_file():
                continue
            if path.stat().st_size < ends[each]:
                ends[each] = 0
            with path.open("rb") as file:
                file.seek(ends[each])
                added = file.read()
            whole = added[: added.rfind(b"\n") + 1]
            ends[each] += len(whole)
            for line in whole.decode(errors="replace").splitlines():
                yield each, line
        time.sleep(_POLL_S)


def init(home: HomeOption = None) -> None:
    """Make what the cluster of the settings lacks: topics, keyspace and tables; again changes nothing.

    Example: foryou stack init
    """
    from foryou.cluster import initialise

    settings = settings_of(home=home)
    if settings.backends != "cluster":
        raise ConfigError(
            'The settings name no cluster; run `eval "$(foryou stack up)"`, or set FORYOU_BACKENDS=cluster.'
        )
    for line in initialise(settings):
        note(line)


def _stack(settings: "Settings") -> "Stack":
    from deploy.stack import Stack

    return Stack(settings.home / FOLDER, tell=note)


def _port(text: str) -> tuple[str, int]:
    """A server and its port, from text such as kafka=9092."""
    name, _, number = text.partition("=")
    if not number.isdecimal() or not 0 < int(number) < 65_536:
        raise InputError(f"The port {text!r} cannot be read; write it as kafka=9092.")
    return name, int(number)
